//! Reading one batch out of a part of the log: whole segments as they are, and of others what the sink
//! is pending for it.

use outstation_codec::{Lane, StoredSegment};

use super::view::{Scope, Stored, View};
use crate::domain::policy::batch_size::Limits;
use crate::event_log::store::error::StorageError;

/// The most segments of one batch, however small: each has its overhead in memory.
const SEGMENTS_MAX: usize = 4096;

/// Numbers that the log should hold and does not, first and last.
pub(crate) type Hole = (u64, u64);

/// Why it is not read on from one row to the next.
enum Pause {
    /// The batch is full, or the scope ends.
    Done,
    /// What follows is of no concern; what comes from here on may be.
    Jump(u64),
    Missing(Hole),
    /// The row that holds this number is not what was written.
    Damaged(u64),
}

/// What a part of the log gives for one batch.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// The next segments that fit, at least one if there is any.
    Segments(Vec<StoredSegment>),
    /// Nothing, because what comes next is not there and should be.
    Missing(Hole),
}

/// Gathers the next segments of a scope. What stands before a hole goes out first.
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
            // A damaged row may lie about its length: it ends where the next one begins.
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

    /// Takes what is pending of a row; none to go on with the next one.
    fn take(&mut self, segment: StoredSegment) -> Option<Pause> {
        // A damaged row may claim any number.
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
        // Rows of which nothing is pending are not worth reading, nor those of other lanes where
        // the index finds the right ones.
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
                // What does not decode is of no use to anybody.
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
