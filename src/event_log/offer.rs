//! What the log hands out: the next readings a sink is owed and the events it was not told, with all
//! they refer to.

use super::actor::LogActor;
use super::error::StorageError;
use super::{Limits, Mailbox};
use crate::domain::batch::{Batch, Lane, StoredSegment, ToldEvent};
use crate::domain::event::{Event, Stream};
use crate::domain::ledger::Loss;
use crate::telemetry::events::{LogUnreadable, Report, SegmentDamaged};

/// The most segments of one batch, however small: each has its overhead in memory.
const SEGMENTS_MAX: usize = 4096;
/// The most events of one batch: they are few, and rarely more than one at a time.
const EVENTS_MAX: usize = 256;

impl LogActor {
    /// What the sink is owed next, if anything.
    pub(super) fn next_batch(
        &mut self,
        sink: &str,
        limits: Limits,
        mailbox: &Mailbox,
    ) -> Result<Option<Batch>, StorageError> {
        if self.closed {
            return Ok(None);
        }
        let segments = self.next_segments(sink, limits, mailbox);
        let segments = self.readable(segments)?.unwrap_or_default();
        let events = self.untold(sink, limits.bytes_max);
        let events = self.readable(events)?.unwrap_or_default();
        if segments.is_empty() && events.is_empty() {
            return Ok(None);
        }
        if let Some(last) = segments.last() {
            self.offered.insert(sink.to_owned(), last.last_seq());
        }
        Ok(Some(self.batch(segments, events)))
    }

    /// The next segments the sink is owed. What the log should hold and does not is lost, counted and
    /// passed by, so that nothing blocks behind it.
    fn next_segments(
        &mut self,
        sink: &str,
        limits: Limits,
        mailbox: &Mailbox,
    ) -> Result<Vec<StoredSegment>, StorageError> {
        loop {
            let delivered = self.aggregates.delivery(sink).readings;
            let from = self.aggregates.books.first_owed(&delivered, 1);
            if from >= self.next_seq {
                return Ok(Vec::new());
            }
            let found = self.database.segments_from(
                from,
                limits.readings_max,
                limits.bytes_max,
                SEGMENTS_MAX,
            )?;
            // A damaged row may claim any number.
            let begins = found.first().map_or(self.next_seq, |segment| segment.first_seq);
            let begins = begins.min(self.next_seq);
            let sound = found.iter().take_while(|segment| segment.is_sound()).count();
            if begins > from {
                self.write_off(from, begins - 1, mailbox);
            } else if sound > 0 {
                // What stands before the damage goes out first.
                return Ok(found.into_iter().take(sound).collect());
            } else {
                // A damaged row may lie about its length: it ends where the next one begins.
                let next = self.database.first_after(from)?.unwrap_or(self.next_seq);
                let next = next.min(self.next_seq);
                self.write_off(from, next - 1, mailbox);
            }
        }
    }

    fn untold(&self, sink: &str, bytes_max: usize) -> Result<Vec<ToldEvent>, StorageError> {
        let delivery = self.aggregates.delivery(sink);
        let is_told = self.config.told.iter().any(|told| told == sink);
        if !is_told || delivery.told >= self.committed_position {
            return Ok(Vec::new());
        }
        let mut rows = self.database.told(delivery.told, EVENTS_MAX)?;
        let mut bytes = 0;
        let fits = rows.iter().take_while(|row| {
            bytes += row.data.len();
            bytes <= bytes_max
        });
        rows.truncate(fits.count().max(1));
        let first_owed = self.aggregates.books.first_owed(&delivery.readings, 1);
        let rows = rows.into_iter().map(|row| {
            let mut event = postcard::from_bytes(&row.data)
                .map_err(|source| StorageError::Encoding { what: "event", source })?;
            // What this sink has under an earlier epoch does not come again under this one.
            if let Event::EpochBegan { from, .. } = &mut event {
                *from = first_owed.max(*from);
            }
            Ok(ToldEvent {
                position: row.position.unwrap_or(0),
                stream: row.stream.as_str().to_owned(),
                boot: row.boot,
                at_ms: row.at_ms,
                event,
            })
        });
        rows.collect()
    }

    /// Storage that cannot be read is weather, as it is when it cannot be written: said once, and
    /// tried again when somebody asks again. Storage that is damaged is not.
    fn readable<T>(&mut self, read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
        match read {
            Ok(found) => {
                self.unreadable = false;
                Ok(Some(found))
            }
            Err(error) if error.is_damage() => Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    LogUnreadable { path: self.database.path(), error: &error }.report();
                }
                Ok(None)
            }
        }
    }

    /// Counts as lost what of this range was neither delivered nor counted before.
    fn write_off(&mut self, first: u64, last: u64, mailbox: &Mailbox) {
        SegmentDamaged { first, last }.report();
        let delivered = self.aggregates.delivered_to_all(&self.config.sinks);
        for (first, last) in self.aggregates.books.owed(&delivered, first, last) {
            self.record(Stream::ledger(), Event::Lost { loss: Loss::Damaged, first, last });
        }
        self.schedule(self.config.commit_interval.live);
        self.publish(mailbox);
    }

    fn batch(&self, segments: Vec<StoredSegment>, events: Vec<ToldEvent>) -> Batch {
        let mut sensors: Vec<u32> = segments.iter().flat_map(StoredSegment::sensors).collect();
        sensors.sort_unstable();
        sensors.dedup();
        let of_segments = segments.iter().map(|segment| segment.boot);
        let mut boots: Vec<u32> =
            of_segments.chain(events.iter().flat_map(ToldEvent::boots)).collect();
        boots.sort_unstable();
        boots.dedup();
        let described = |id: u32| Some((id, self.aggregates.registry.sensor(id)?.clone()));
        let anchor =
            |boot: u32| (boot, self.aggregates.boots.get(boot).and_then(|boot| boot.anchor));
        Batch {
            device: self.config.device.clone(),
            epoch: self.database.epoch(),
            lane: segments.first().map_or(Lane::Live, |segment| segment.lane),
            sensors: sensors.into_iter().filter_map(described).collect(),
            boots: boots.into_iter().map(anchor).collect(),
            segments,
            events,
        }
    }
}
