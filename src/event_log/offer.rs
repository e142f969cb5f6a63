//! What the log hands out: the next readings a sink is owed, with all they refer to.

use super::actor::LogActor;
use super::error::StorageError;
use super::{Limits, Mailbox};
use crate::domain::batch::{Batch, Lane, StoredSegment};
use crate::domain::event::{Event, Stream};
use crate::domain::ledger::Loss;
use crate::telemetry::events::{LogUnreadable, Report, SegmentDamaged};

impl LogActor {
    /// The next readings the sink is owed. What the log should hold and does not is lost, counted
    /// and passed by, so that nothing blocks behind it.
    pub(super) fn next_batch(
        &mut self,
        sink: &str,
        limits: Limits,
        mailbox: &Mailbox,
    ) -> Option<Batch> {
        loop {
            let delivered = self.aggregates.acknowledged.get(sink).cloned().unwrap_or_default();
            let from = self.aggregates.books.first_owed(&delivered, 1);
            if from >= self.next_seq {
                return None;
            }
            let found = self.database.segments_from(from, limits.readings_max, limits.bytes_max);
            let found = self.readable(found)?;
            let begins = found.first().map_or(self.next_seq, |segment| segment.first_seq);
            let sound = found.iter().take_while(|segment| segment.is_sound()).count();
            if begins > from {
                self.write_off(from, begins - 1, mailbox);
            } else if sound > 0 {
                // What stands before the damage goes out first.
                return Some(self.batch(found.into_iter().take(sound).collect()));
            } else {
                // A damaged row may lie about its length: it ends where the next one begins.
                let next = self.database.first_after(from);
                let next = self.readable(next)?.unwrap_or(self.next_seq);
                self.write_off(from, next - 1, mailbox);
            }
        }
    }

    /// Storage that cannot be read is weather, as it is when it cannot be written: said once, and
    /// tried again when somebody asks again.
    fn readable<T>(&mut self, read: Result<T, StorageError>) -> Option<T> {
        match read {
            Ok(found) => {
                self.unreadable = false;
                Some(found)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    LogUnreadable { path: self.database.path(), error: &error }.report();
                }
                None
            }
        }
    }

    fn write_off(&mut self, first: u64, last: u64, mailbox: &Mailbox) {
        SegmentDamaged { first, last }.report();
        self.record(Stream::ledger(), Event::Lost { loss: Loss::Damaged, first, last });
        self.schedule(1);
        self.publish(mailbox);
    }

    fn batch(&self, segments: Vec<StoredSegment>) -> Batch {
        let mut sensors: Vec<u32> = segments.iter().flat_map(StoredSegment::sensors).collect();
        sensors.sort_unstable();
        sensors.dedup();
        let mut boots: Vec<u32> = segments.iter().map(|segment| segment.boot).collect();
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
        }
    }
}
