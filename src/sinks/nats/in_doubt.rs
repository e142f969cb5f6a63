//! Finds out which messages the stream holds although their acknowledgement did not arrive.
//!
//! An acknowledgement can be lost, and a stream remembers message ids for a limited time only (its
//! duplicate window, two minutes by default). A batch that is repeated after a longer outage would be
//! stored twice. Therefore, after an interruption, the ids in the stream are read back, and messages that
//! are there are not sent again.
//!
//! ```text
//!  interrupted here: read what came after the last acknowledgement
//!  process is new:   read our last message ─ a batch begins before it ─▶ read what came shortly before it
//! ```

use std::time::Duration;

use outstation_codec::Batch;

use super::client::{Failure, NatsConnection};
use super::streams::{Start, StoredMessage, read_back, stream_of};
use crate::domain::model::interval_set::IntervalSet;

/// The state of doubt about the messages at one endpoint.
#[derive(Debug)]
pub(super) struct InDoubt {
    /// The longest time in milliseconds between the messages of one batch in the stream.
    span_ms: i64,
    /// The time limit of each question.
    patience: Duration,
    /// Whether messages may be in the stream whose outcome is not known. It starts as true, because an
    /// earlier process may have sent some.
    open: bool,
    /// The stream, and the highest sequence number in it that was acknowledged to this process.
    acknowledged: Option<(String, u64)>,
    suspicion: Option<Suspicion>,
    found: FoundMessages,
}

/// The last message of this device that a new process finds in the stream. If its batch was acknowledged,
/// so was everything before; if not, the batch will be offered again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suspicion {
    stream: String,
    last: What,
    stored_ms: i64,
}

/// The reading or event of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Reading(u64),
    Event(u64),
}

/// The readings and events of one epoch of the log that were found in the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundMessages {
    life: String,
    readings: IntervalSet,
    events: IntervalSet,
}

/// The prefix of message ids, which names the device and the epoch of a batch. The id of reading 7 ends in
/// `-7`, that of event 7 in `-e7`.
pub(super) fn life(batch: &Batch) -> String {
    format!("{}-{:x}", batch.device, batch.epoch)
}

impl What {
    /// The id in the stream. It is the same whichever batch the reading or event comes with.
    pub(super) fn id(self, life: &str) -> String {
        match self {
            Self::Reading(seq) => format!("{life}-{seq}"),
            Self::Event(position) => format!("{life}-e{position}"),
        }
    }

    fn parse(id: &str, life: &str) -> Option<Self> {
        let name = id.strip_prefix(life)?.strip_prefix('-')?;
        match name.strip_prefix('e') {
            Some(position) => position.parse().ok().map(Self::Event),
            None => name.parse().ok().map(Self::Reading),
        }
    }
}

impl FoundMessages {
    fn add(&mut self, id: &str) {
        match What::parse(id, &self.life) {
            Some(What::Reading(seq)) => drop(self.readings.insert(seq, seq)),
            Some(What::Event(position)) => drop(self.events.insert(position, position)),
            None => {}
        }
    }

    pub(super) fn has(&self, life: &str, what: What) -> bool {
        self.life == life
            && match what {
                What::Reading(seq) => self.readings.contains(seq),
                What::Event(position) => self.events.contains(position),
            }
    }
}

impl Suspicion {
    /// Whether a batch may be the interrupted one, or a part of it.
    fn concerns(&self, batch: &Batch) -> bool {
        match self.last {
            What::Reading(last) => !batch.segments.is_empty() && batch.first_seq() <= last,
            What::Event(last) => batch.events.first().is_some_and(|event| event.position <= last),
        }
    }
}

impl InDoubt {
    /// Creates the state for attempts that are limited to `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            // Two attempts: the first and its repeat.
            span_ms: i64::try_from(2 * timeout.as_millis()).unwrap_or(i64::MAX),
            // An attempt asks several questions and must have time left for its messages.
            patience: timeout / 4,
            open: true,
            acknowledged: None,
            suspicion: None,
            found: FoundMessages::default(),
        }
    }

    pub(super) fn sending(&mut self) {
        self.open = true;
    }

    /// Notes that every message that was sent has been answered.
    pub(super) fn answered(&mut self, place: Option<(String, u64)>) {
        self.open = false;
        if place.is_some() {
            self.acknowledged = place;
        }
    }

    pub(super) fn found(&self) -> &FoundMessages {
        &self.found
    }

    /// Finds out which parts of a batch are in the stream. An account that may only publish gets no answer
    /// and relies on the duplicate window.
    pub(super) async fn resolve(
        &mut self,
        connection: &mut NatsConnection,
        batch: &Batch,
        subjects: &str,
    ) -> Result<(), Failure> {
        if self.open {
            match self.acknowledged.clone() {
                Some((stream, place)) => {
                    self.find(connection, batch, &stream, subjects, Start::After(place)).await?;
                }
                None => {
                    self.suspicion = suspect(connection, batch, subjects, self.patience).await?
                }
            }
            self.open = false;
        }
        if let Some(suspicion) = self.suspicion.clone().filter(|known| known.concerns(batch)) {
            let since = Start::Since(suspicion.stored_ms - self.span_ms);
            self.find(connection, batch, &suspicion.stream, subjects, since).await?;
            self.suspicion = None;
        }
        Ok(())
    }

    async fn find(
        &mut self,
        connection: &mut NatsConnection,
        batch: &Batch,
        stream: &str,
        subjects: &str,
        start: Start,
    ) -> Result<(), Failure> {
        let life = life(batch);
        // Readings that were found earlier may still be offered.
        let mut found = Some(self.found.clone()).filter(|known| known.life == life);
        let found = found.get_or_insert_with(|| FoundMessages { life, ..FoundMessages::default() });
        read_back(connection, stream, subjects, start, self.patience, |held| found.add(held.id))
            .await?;
        self.found = found.clone();
        Ok(())
    }
}

async fn suspect(
    connection: &mut NatsConnection,
    batch: &Batch,
    subjects: &str,
    patience: Duration,
) -> Result<Option<Suspicion>, Failure> {
    // Without a stream, the first message gets an error that says so.
    let Ok(stream) = stream_of(connection, subjects, patience).await? else { return Ok(None) };
    let (life, mut last) = (life(batch), None);
    let note = |held: StoredMessage<'_>| {
        last = What::parse(held.id, &life).map(|what| (what, held.stored_ms));
    };
    read_back(connection, &stream, subjects, Start::Last, patience, note).await?;
    Ok(last.map(|(last, stored_ms)| Suspicion { stream, last, stored_ms }))
}

#[cfg(test)]
mod tests {
    use outstation_codec::{Lane, StoredSegment};

    use super::*;
    use crate::test_kit::batches;

    fn batch(first_seq: u64) -> Batch {
        let segments = vec![StoredSegment::sealed(first_seq, 10, Lane::Live, 0, vec![])];
        Batch { device: "pump-7".into(), epoch: 0xab, ..batches::batch(vec![], segments) }
    }

    #[test]
    fn an_id_names_a_reading_or_an_event_of_one_life_for_ever() {
        let life = life(&batch(1));
        for (what, id) in [(What::Reading(7), "pump-7-ab-7"), (What::Event(7), "pump-7-ab-e7")] {
            assert_eq!(what.id(&life), id);
            assert_eq!(What::parse(id, &life), Some(what));
        }
        for foreign in
            ["pump-7-ac-7", "pump-7-ab7", "pump-7-ab-", "pump-7-ab-x", "pump-7-ab-7-7", ""]
        {
            assert_eq!(What::parse(foreign, &life), None, "{foreign}");
        }
    }

    #[test]
    fn what_was_found_holds_for_its_life_alone() {
        let mut found = FoundMessages { life: "d-1".to_owned(), ..FoundMessages::default() };
        ["d-1-4", "d-1-e2", "d-2-5"].into_iter().for_each(|id| found.add(id));
        assert!(found.has("d-1", What::Reading(4)) && found.has("d-1", What::Event(2)));
        assert!(!found.has("d-1", What::Reading(2)) && !found.has("d-1", What::Reading(5)));
        assert!(!found.has("d-2", What::Reading(5)) && !found.has("d-2", What::Reading(4)));
    }

    #[test]
    fn a_batch_that_begins_after_the_last_message_is_beyond_suspicion() {
        let suspicion = |last| Suspicion { stream: "T".to_owned(), last, stored_ms: 0 };
        assert!(suspicion(What::Reading(50)).concerns(&batch(50)));
        assert!(suspicion(What::Reading(50)).concerns(&batch(1)), "any part of it");
        assert!(!suspicion(What::Reading(50)).concerns(&batch(51)));
        assert!(!suspicion(What::Event(50)).concerns(&batch(1)), "it tells no event");
    }
}
