//! Offers readings again that a sink had refused, from their copies.

use outstation_codec::StoredSegment;

use crate::domain::model::interval_set::IntervalSet;
use crate::domain::policy::batch_size::Limits;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;

/// The most copies of one batch, since each has an overhead in memory, however small it is.
const COPIES_MAX: usize = 4096;

/// The copies that a sink is offered again.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) segments: Vec<StoredSegment>,
    /// Numbers that should be offered again and have no sound copy.
    pub(crate) missing: Vec<(u64, u64)>,
}

/// Reads those of the copies to be offered again that fit into one batch.
pub(crate) fn read(
    database: &Database,
    sink: &str,
    replayed: &IntervalSet,
    limits: Limits,
) -> Result<Replay, StorageError> {
    let mut taking = Taking { limits, readings: 0, bytes: 0, full: false, segments: Vec::new() };
    let mut missing = Vec::new();
    let Some((first, _)) = replayed.intervals().first().copied() else {
        return Ok(Replay { segments: taking.segments, missing });
    };
    let mut next = first;
    database.quarantined(sink, first, |copy, sound| {
        let (from, to) = (copy.segment.first_seq, copy.segment.last_seq());
        missing.extend(replayed.within(next, from.saturating_sub(1)));
        for (first, last) in replayed.within(from, to) {
            if taking.full {
                break;
            }
            if !(sound && taking.take(&copy.segment, first, last)) {
                missing.push((first, last));
            }
        }
        next = next.max(to.saturating_add(1));
        !taking.full
    })?;
    if !taking.full {
        missing.extend(replayed.within(next, u64::MAX));
    }
    Ok(Replay { segments: taking.segments, missing })
}

/// A batch while it is filled with copies.
struct Taking {
    limits: Limits,
    readings: u64,
    bytes: usize,
    full: bool,
    segments: Vec<StoredSegment>,
}

impl Taking {
    /// Takes those of these readings that fit. Returns false if they could not be read.
    fn take(&mut self, segment: &StoredSegment, first: u64, last: u64) -> bool {
        let room = self.limits.readings_max.saturating_sub(self.readings).max(1);
        let fitting = last.min(first.saturating_add(room - 1));
        let Ok(part) = segment.cut(first, fitting) else { return false };
        let bytes = self.bytes + part.body.len();
        let started = !self.segments.is_empty();
        let fits = bytes <= self.limits.bytes_max
            && self.readings < self.limits.readings_max
            && self.segments.len() < COPIES_MAX;
        if started && !fits {
            self.full = true;
            return true;
        }
        self.full = fitting < last;
        self.readings += u64::from(part.count);
        self.bytes = bytes;
        self.segments.push(part);
        true
    }
}
