//! Merges small segments. In an outage of an hour, a commit each second leaves thousands of them, and ten
//! readings are too few to compress well.
//!
//! No reading changes its number by a merge. A run of segments is merged only if no sink can come to have a
//! part of the result: the run does not cross an end of a range that a sink was offered or has, nor the
//! number at which its fresh readings begin.

use std::collections::BTreeSet;

use outstation_codec::{Segment, StoredSegment};

use crate::event_log::store::commit::NewSegment;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::queries::Head;

/// A segment with fewer readings is small; merging larger ones saves less than it writes.
const SMALL_READINGS: u32 = 64;
/// How many small segments become one: a minute of commits.
const RUN: usize = 60;
/// A run that cannot grow any more is merged from this length on.
const RUN_MIN: usize = 8;
/// How many segments are looked at in one step.
const HEADS_MAX: usize = 256;

/// A run of segments and the one that replaces them.
pub(crate) struct Merged {
    pub(crate) remove: (u64, u64),
    pub(crate) segment: NewSegment,
}

/// How far merging has come.
#[derive(Debug)]
pub(crate) struct Compaction {
    /// All segments before this number were merged or are not worth it.
    from: u64,
    /// Small segments committed since the last search for a run.
    small: usize,
}

impl Compaction {
    /// Starts with a search, because a log that was just opened may hold a whole outage of small segments.
    pub(crate) fn new() -> Self {
        Self { from: 0, small: RUN }
    }

    pub(crate) fn committed(&mut self, readings: usize) {
        let is_small = u32::try_from(readings).is_ok_and(|count| count < SMALL_READINGS);
        self.small += usize::from(is_small);
    }

    /// Merges the next run of small segments, if there is one. No run crosses one of `ends`, which are the
    /// last numbers of ranges that belong together (see `Offers::ends`).
    pub(crate) fn next_merged(
        &mut self,
        database: &Database,
        ends: impl FnOnce() -> BTreeSet<u64>,
    ) -> Result<Option<Merged>, StorageError> {
        if self.small < RUN {
            return Ok(None);
        }
        let (heads, ends) = (database.heads(self.from, HEADS_MAX)?, ends());
        let mut start = 0;
        while start < heads.len() {
            let length = run_length(&heads[start..], &ends);
            let grows = start + length == heads.len() && heads.len() < HEADS_MAX;
            if length >= RUN || (length >= RUN_MIN && !grows) {
                let run = &heads[start..start + length.min(RUN)];
                self.from = run[run.len() - 1].last_seq() + 1;
                return merge(database, run);
            }
            if grows {
                break;
            }
            start += length.max(1);
            self.from = heads[start - 1].last_seq() + 1;
        }
        // After a full page of heads there may be more to look at.
        if heads.len() < HEADS_MAX {
            self.small = heads.len() - start;
        }
        Ok(None)
    }
}

/// Makes one segment of a run; `None` if the stored segments are not what the heads say.
fn merge(database: &Database, run: &[Head]) -> Result<Option<Merged>, StorageError> {
    let (first, last) = (run[0], run[run.len() - 1]);
    let mut found = Vec::new();
    database.visit(first.first_seq, |segment| {
        found.push(segment);
        found.len() < run.len()
    })?;
    let mut merged = Segment::default();
    for (segment, head) in found.iter().zip(run) {
        let decoded = segment.decode().ok().filter(|_| segment.first_seq == head.first_seq);
        if !decoded.is_some_and(|decoded| merged.append(&decoded)) {
            return Ok(None);
        }
    }
    let count = u32::try_from(merged.len()).unwrap_or(u32::MAX);
    let body = merged.encode();
    let segment = StoredSegment::sealed(first.first_seq, count, first.lane, first.boot, body);
    // A merged segment that is not the sum of its parts shows damage that was not noticed yet.
    if segment.last_seq() != last.last_seq() {
        return Ok(None);
    }
    let segment = NewSegment { segment, first_ms: first.first_ms, last_ms: last.last_ms };
    Ok(Some(Merged { remove: (first.first_seq, last.first_seq), segment }))
}

/// How many of the first segments can be merged.
fn run_length(heads: &[Head], ends: &BTreeSet<u64>) -> usize {
    let is_small = |head: &Head| head.count < SMALL_READINGS;
    let joined = |(a, b): (&Head, &Head)| {
        is_small(b)
            && a.last_seq() + 1 == b.first_seq
            && (a.lane, a.boot) == (b.lane, b.boot)
            && !ends.contains(&a.last_seq())
    };
    if !heads.first().is_some_and(is_small) {
        return 0;
    }
    1 + heads.iter().zip(&heads[1..]).take_while(|pair| joined(*pair)).count()
}
