//! The records that wait to be written, in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::Level;

use super::record::{FieldValue, Record};
use crate::telemetry::events::message_ids;
use crate::telemetry::metric_names;

/// A hundred records and more. The oldest are kept, because they tell how a problem began; newer ones
/// are counted.
const BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
enum Entry {
    /// A record and when it was emitted.
    Record(Record, Duration),
    /// Stands where records were dropped.
    Gap { count: u64, errors: u64, wall_ms: i64 },
}

impl Queue {
    /// Appends a record that was emitted at `since`. If there is no room, the record is dropped and
    /// counted.
    pub(crate) fn push(&mut self, record: Record, since: Duration) {
        if self.bytes + record.bytes() <= BYTES_MAX {
            self.bytes += record.bytes();
            self.entries.push_back(Entry::Record(record, since));
            return;
        }
        ::metrics::counter!(metric_names::TELEMETRY_DROPPED).increment(1);
        let error = u64::from(record.level == Level::ERROR);
        if let Some(Entry::Gap { count, errors, .. }) = self.entries.back_mut() {
            *count += 1;
            *errors += error;
        } else {
            let wall_ms = record.wall_ms;
            self.entries.push_back(Entry::Gap { count: 1, errors: error, wall_ms });
        }
    }

    /// Takes the oldest record and gives it with the time at which it was emitted. In the place of
    /// dropped records this is one that says how many they were.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(Record, Duration)> {
        Some(match self.entries.pop_front()? {
            Entry::Record(record, since) => {
                self.bytes -= record.bytes();
                (record, since)
            }
            Entry::Gap { count, errors, wall_ms } => (gap(count, errors, wall_ms), now),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn gap(count: u64, errors: u64, wall_ms: i64) -> Record {
    let level = if errors > 0 { Level::ERROR } else { Level::WARN };
    let message = "records are missing here: they were not read in time, and there was no room to keep \
                   them; `outstation status` and the metrics count on";
    let fields = vec![("count", FieldValue::Count(count)), ("errors", FieldValue::Count(errors))];
    Record { fields, ..Record::new(level, message_ids::MESSAGES_DROPPED, message, wall_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, text: String) -> Record {
        Record::new(level, "", &text, 0)
    }

    #[test]
    fn the_oldest_records_are_kept_and_a_gap_counts_the_dropped_ones() {
        let mut queue = Queue::default();
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(31));
        for n in 0..10_000 {
            let level = if n == 9_999 { Level::ERROR } else { Level::DEBUG };
            queue.push(record(level, format!("record {n}")), early);
        }
        assert!(queue.bytes <= BYTES_MAX);
        let (oldest, since) = queue.pop(late).expect("the queue is full");
        assert_eq!((oldest.message.as_str(), since), ("record 0", early));
        queue.push(record(Level::DEBUG, "the next".to_owned()), late);
        let mut rest: Vec<_> = std::iter::from_fn(|| queue.pop(late)).collect();
        let (next, _) = rest.pop().expect("it had room again");
        assert_eq!(next.message, "the next");
        let (gap, since) = rest.pop().expect("records were dropped");
        assert!(rest.len() > 100, "{}", rest.len());
        for (n, (record, _)) in rest.iter().enumerate() {
            assert_eq!(record.message, format!("record {}", n + 1));
        }
        let dropped = 10_000 - 1 - rest.len() as u64;
        assert_eq!(gap.field("count"), Some(&FieldValue::Count(dropped)));
        assert_eq!(gap.field("errors"), Some(&FieldValue::Count(1)));
        assert_eq!((gap.level, since), (Level::ERROR, late));
        assert_eq!((queue.bytes, queue.is_empty()), (0, true));
    }
}
