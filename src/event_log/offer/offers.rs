//! What the log hands out: the next readings a sink is owed and the events it was not told, with all
//! they refer to.

use super::gather::Hole;
use super::lanes::{Turn, View};
use crate::domain::model::batch::{Batch, Lane, StoredSegment, ToldEvent};
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::ledger::Loss;
use crate::domain::policy::lanes::Order;
use crate::event_log::actor::LogActor;
use crate::event_log::store::error::StorageError;
use crate::event_log::{Ask, Limits, Mailbox};
use crate::telemetry::events::{LogUnreadable, Report, SegmentDamaged};

/// The most events of one batch: they are few, and rarely more than one at a time.
const EVENTS_MAX: usize = 256;

impl LogActor {
    /// What the sink is owed next, if anything.
    pub(crate) fn next_batch(
        &mut self,
        sink: &str,
        ask: Ask,
        mailbox: &Mailbox,
    ) -> Result<Option<Batch>, StorageError> {
        if self.closed {
            return Ok(None);
        }
        let found = self.next_segments(sink, ask, mailbox);
        let (lane, segments) = self.readable(found)?.flatten().unwrap_or_default();
        let alarms_alone = ask.lanes == [Lane::Alarm];
        let untold = if alarms_alone { Ok(Vec::new()) } else { self.untold(sink, ask.limits) };
        let events = self.readable(untold)?.unwrap_or_default();
        if segments.is_empty() && events.is_empty() {
            return Ok(None);
        }
        let batch = self.batch(lane, segments, events);
        self.offered.insert(sink.to_owned(), batch.ranges());
        Ok(Some(batch))
    }

    /// The next segments the sink is owed in the first of the lanes it asks for that has any. What the
    /// log should hold and does not is lost, counted and passed by, so that nothing blocks behind it.
    fn next_segments(
        &mut self,
        sink: &str,
        ask: Ask,
        mailbox: &Mailbox,
    ) -> Result<Option<(Lane, Vec<StoredSegment>)>, StorageError> {
        loop {
            let Some(mut view) = self.view(sink)? else { return Ok(None) };
            let in_order = view.policy.order == Order::AsStored;
            if !in_order && ask.lanes != [Lane::Alarm] && self.keep_fresh(sink, &mut view)? {
                self.publish(mailbox);
            }
            match self.first_found(sink, &view, ask)? {
                Err(hole) => self.write_off(hole, mailbox),
                Ok(found) => return Ok(found),
            }
        }
    }

    fn first_found(
        &mut self,
        sink: &str,
        view: &View,
        ask: Ask,
    ) -> Result<FirstFound, StorageError> {
        for turn in view.turns(ask.lanes) {
            let found = match turn {
                Turn::Stored(lane) => self.first_stored(lane, view, ask.limits)?,
                Turn::Copies => {
                    let copies = self.replayed(sink, ask.limits)?;
                    Ok((!copies.is_empty()).then_some((Lane::Backfill, copies)))
                }
            };
            match found {
                Ok(None) => {}
                Ok(Some(_)) => {
                    self.offered_copies(sink, turn == Turn::Copies);
                    return Ok(found);
                }
                Err(_) => return Ok(found),
            }
        }
        Ok(Ok(None))
    }

    fn first_stored(
        &self,
        lane: Lane,
        view: &View,
        limits: Limits,
    ) -> Result<FirstFound, StorageError> {
        for scope in view.scopes(lane) {
            let segments = match self.gather(&scope, view, limits)? {
                Ok(segments) => segments,
                Err(hole) => return Ok(Err(hole)),
            };
            let Some(first) = segments.first() else { continue };
            let lane = match view.policy.order {
                Order::AsStored if self.is_live(first.first_seq, view)? => Lane::Live,
                Order::AsStored => Lane::Backfill,
                Order::LiveFirst => lane,
            };
            return Ok(Ok(Some((lane, segments))));
        }
        Ok(Ok(None))
    }

    fn untold(&self, sink: &str, limits: Limits) -> Result<Vec<ToldEvent>, StorageError> {
        let delivery = self.aggregates.delivery(sink);
        let is_told = self.config.rules(sink).is_some_and(|rules| rules.told);
        if !is_told || delivery.told >= self.committed_position {
            return Ok(Vec::new());
        }
        let mut rows = self.database.told(delivery.told, EVENTS_MAX)?;
        let mut bytes = 0;
        let fits = rows.iter().take_while(|row| {
            bytes += row.data.len();
            bytes <= limits.bytes_max
        });
        rows.truncate(fits.count().max(1));
        let first_owed = self.aggregates.closed(sink).first_gap(1);
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

    /// Counts as lost what of this range some sink is owed and was not counted before.
    fn write_off(&mut self, (first, last): Hole, mailbox: &Mailbox) {
        SegmentDamaged { first, last }.report();
        // Of all sinks: what those that are waited for have is lost to the others all the same.
        let settled = self.aggregates.settled_by_all(&self.config.names());
        for (first, last) in self.aggregates.books.owed(&settled, first, last) {
            self.record(Stream::ledger(), Event::Lost { loss: Loss::Damaged, first, last });
        }
        self.schedule(self.config.commit_interval.live);
        self.publish(mailbox);
    }

    fn batch(&self, lane: Lane, segments: Vec<StoredSegment>, events: Vec<ToldEvent>) -> Batch {
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
            lane,
            sensors: sensors.into_iter().filter_map(described).collect(),
            boots: boots.into_iter().map(anchor).collect(),
            segments,
            events,
        }
    }
}

/// A lane and its segments, or what is not there and should be.
type FirstFound = Result<Option<(Lane, Vec<StoredSegment>)>, Hole>;
