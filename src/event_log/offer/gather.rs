//! Reads one batch out of a part of the log: segments that are all pending as they are, and of the others
//! the readings that are pending for the sink.

use outstation_codec::{Lane, StoredSegment};

use super::view::{Scope, Stored, View};
use crate::domain::policy::batch_size::Limits;
use crate::event_log::store::error::StorageError;

/// The most segments of one batch, since each has an overhead in memory, however small it is.
const SEGMENTS_MAX: usize = 4096;

/// Sequence numbers that the log should hold and does not, first and last.
pub(crate) type Hole = (u64, u64);

/// Why reading from one row to the next stops.
enum Pause {
    /// The batch is full, or the scope ends.
    Done,
    /// The next rows hold nothing to read; reading may go on at this number.
    Jump(u64),
    Missing(Hole),
    /// The row that holds this number is damaged.
    Damaged(u64),
}

/// The result of gathering one batch.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// The next segments that fit: at least one if there is any, and none at the end of the scope.
    Segments(Vec<StoredSegment>),
    /// Nothing, because the next readings should be in the log and are not.
    Missing(Hole),
}

/// Gathers the next segments of a scope. If there are segments before a hole, they are returned without it.
pub(crate) fn gather(
    scope: &Scope,
    view: &View<'_>,
    limits: Limits,
) -> Result<Gathered, StorageError> {
    let mut batch = Gathering::new(*scope, view, limits);
    let mut from = scope.from;
    while let Some(next) = view.first_of(&Scope { from, ..*scope })? {
        batch.expected = next;
        let mut pause = None;
        view.database.visit(next, |segment| {
            pause = batch.take(segment);
            pause.is_none()
        })?;
        let hole = match pause {
            Some(Pause::Done) => break,
            Some(Pause::Jump(to)) => {
                from = to;
                continue;
            }
            Some(Pause::Missing(hole)) => hole,
            // The length of a damaged row cannot be trusted, so the row ends where the next one begins.
            Some(Pause::Damaged(at)) => {
                let next = view.database.first_after(at)?.unwrap_or(view.end);
                (at, next.min(view.end).max(at + 1) - 1)
            }
            // There are no more rows.
            None => (batch.expected, view.end - 1),
        };
        if batch.segments.is_empty() {
            return Ok(Gathered::Missing(hole));
        }
        break;
    }
    Ok(Gathered::Segments(batch.segments))
}

/// One batch while it is put together.
struct Gathering<'a> {
    scope: Scope,
    view: &'a View<'a>,
    limits: Limits,
    /// The next number that is pending.
    expected: u64,
    readings: u64,
    bytes: usize,
    segments: Vec<StoredSegment>,
}

impl<'a> Gathering<'a> {
    fn new(scope: Scope, view: &'a View<'a>, limits: Limits) -> Self {
        let (expected, readings, bytes, segments) = (0, 0, 0, Vec::new());
        Self { scope, view, limits, expected, readings, bytes, segments }
    }

    /// Takes the pending readings of a row. Returns `None` to go on with the next row.
    fn take(&mut self, segment: StoredSegment) -> Option<Pause> {
        // A damaged row may hold any number.
        let begins = segment.first_seq.min(self.view.end);
        if begins > self.expected {
            return Some(Pause::Missing((self.expected, begins - 1)));
        }
        if !segment.is_sound() {
            return Some(Pause::Damaged(self.expected));
        }
        let (last, lane) = (segment.last_seq(), segment.lane);
        if !self.is_passed(lane) {
            if let Some(pause) = self.take_pending(segment) {
                return Some(pause);
            }
        }
        self.expected = self.view.pending_from(last + 1);
        if self.expected >= self.scope.before {
            return Some(Pause::Done);
        }
        // Rows without pending readings are not read, nor rows of other lanes if the index finds the right
        // ones.
        let jumps = self.expected > last + 1 || matches!(self.scope.stored, Stored::Only(_));
        jumps.then_some(Pause::Jump(self.expected))
    }

    fn is_passed(&self, lane: Lane) -> bool {
        match self.scope.stored {
            Stored::Any => false,
            Stored::ButBackfill => lane == Lane::Backfill,
            Stored::Only(only) => lane != only,
        }
    }

    fn take_pending(&mut self, segment: StoredSegment) -> Option<Pause> {
        let (first, last) = (segment.first_seq, segment.last_seq());
        let within = (first.max(self.scope.from), last.min(self.scope.before - 1));
        let pending = self.view.closed.missing(within.0, within.1);
        if pending == [(first, last)] {
            return self.add(segment);
        }
        for (first, last) in pending {
            let pause = match segment.cut(first, last) {
                Ok(part) => self.add(part),
                // No sink can use readings that do not decode.
                Err(_) => Some(Pause::Missing((first, last))),
            };
            if pause.is_some() {
                return pause;
            }
        }
        None
    }

    fn add(&mut self, segment: StoredSegment) -> Option<Pause> {
        self.readings += u64::from(segment.count);
        self.bytes += segment.body.len();
        let fits = self.readings <= self.limits.readings_max
            && self.bytes <= self.limits.bytes_max
            && self.segments.len() < SEGMENTS_MAX;
        if !fits && !self.segments.is_empty() {
            return Some(Pause::Done);
        }
        self.segments.push(segment);
        None
    }
}
