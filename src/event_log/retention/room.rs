//! Keeps the log within its bounds: delivered readings leave it, and when there is no room, pending ones,
//! too.

use outstation_codec::{Lane, Moment, PublishedEvent};

use crate::domain::model::event::{Event, Stream};
use crate::domain::policy::retention::{Bounds, Relief};
use crate::event_log::quarantine::kept::Copies;
use crate::event_log::state::log_state::LogState;
use crate::event_log::store::commit::NewSegment;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::queries::Head;
use crate::event_log::store::space::{ROW_BYTES, bounds};
use crate::event_log::store::storage::Storage;
use crate::telemetry::events::{ReadingsEvicted, ReadingsSkipped, Report};

/// How many segments are looked at in one step.
const HEADS_MAX: usize = 256;

/// The bounds of the log, and the segments chosen to leave it.
#[derive(Debug)]
pub(crate) struct Retention {
    bounds: Bounds,
    /// By lane: everything before this number was evicted.
    evicted_to: [u64; 3],
    leaving: Leaving,
}

/// Segments that were chosen to leave and have not left, because no commit has succeeded since. The books
/// count them as lost already, so they leave with the next commit, and the choice is not made again at each
/// attempt.
#[derive(Debug, Default)]
struct Leaving {
    ranges: Vec<(u64, u64)>,
    bytes: u64,
}

impl Leaving {
    fn has(&self, head: &Head) -> bool {
        self.ranges.contains(&(head.first_seq, head.first_seq))
    }

    fn add(&mut self, head: &Head) {
        self.ranges.push((head.first_seq, head.first_seq));
        self.bytes += head.bytes + ROW_BYTES;
    }
}

impl Retention {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let (evicted_to, leaving) = ([0; 3], Leaving::default());
        Self { bounds: bounds(bytes_max), evicted_to, leaving }
    }

    /// Sets another bound.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: u64) {
        self.bounds = bounds(bytes_max);
    }

    /// Starts again with another file, in which no segment was chosen yet.
    pub(crate) fn restart(&mut self) {
        (self.evicted_to, self.leaving) = ([0; 3], Leaving::default());
    }

    /// Records that the chosen segments have left.
    pub(crate) fn committed(&mut self) {
        self.leaving = Leaving::default();
    }

    /// The bytes for readings and events.
    pub(crate) fn room(&self) -> u64 {
        self.bounds.room()
    }

    /// Says whether the file is so much larger than its bound that it must be copied to become smaller.
    pub(crate) fn is_oversized(&self, storage: &Storage) -> Result<bool, StorageError> {
        Ok(self.bounds.is_oversized(storage.usage()?))
    }

    /// Chooses the segments that must leave for the log to keep its bounds if nothing is added; see
    /// [`Retention::make_room`].
    pub(crate) fn excess(
        &mut self,
        storage: &Storage,
        state: &mut LogState,
        copies: &mut Copies,
    ) -> Result<Vec<(u64, u64)>, StorageError> {
        copies.bound(state, self.bounds.room());
        let relief = self.bounds.relief(storage.usage()?, 0, u64::MAX);
        self.evict(storage.database(), state, relief.evict)?;
        Ok(self.leaving.ranges.clone())
    }

    /// Chooses the segments that must leave before `coming` can be stored, returns them as ranges of first
    /// numbers, and records the losses. `held` readings wait in memory. Acknowledged readings leave only in
    /// one commit with their acknowledgement: `with_deferred` says whether this commit takes acknowledgements
    /// along, and is set if it must.
    pub(crate) fn make_room(
        &mut self,
        storage: &Storage,
        state: &mut LogState,
        copies: &mut Copies,
        coming: &[NewSegment],
        held: usize,
        with_deferred: &mut bool,
    ) -> Result<Vec<(u64, u64)>, StorageError> {
        let coming: u64 = coming.iter().map(|new| new.segment.body.len() as u64 + ROW_BYTES).sum();
        let usage = storage.usage()?;
        // Some file systems, such as one with quotas, refuse more than they report as free. As long as
        // memory can hold the readings, that is no reason to evict stored ones.
        let is_pressing = storage.health().is_full() && held >= state.config().commit_readings / 2;
        let available = if is_pressing { usage.file } else { storage.available(usage) };
        copies.bound(state, self.bounds.room().min(available));
        let Relief { remove_aside, evict } =
            self.bounds.relief(usage, coming + copies.coming(), available);
        if remove_aside {
            storage.files().remove_aside();
        }
        *with_deferred |= evict > 0 || !self.leaving.ranges.is_empty();
        let mut leaving = Vec::new();
        if *with_deferred {
            leaving.extend(delivered_segments(storage.database(), state)?);
        }
        self.evict(storage.database(), state, evict)?;
        leaving.extend(&self.leaving.ranges);
        Ok(leaving)
    }

    /// Chooses segments of `bytes` bytes to leave: delivered ones first, then the oldest of the lowest
    /// lane. Segments chosen earlier count.
    fn evict(
        &mut self,
        database: &Database,
        state: &mut LogState,
        bytes: u64,
    ) -> Result<(), StorageError> {
        if self.leaving.bytes >= bytes {
            return Ok(());
        }
        let newest = database.newest()?.map_or(0, |head| head.first_seq);
        let end = state.first_needed();
        for head in database.heads(0, HEADS_MAX)? {
            if self.leaving.bytes >= bytes || head.last_seq() >= end || head.first_seq >= newest {
                break;
            }
            if !self.leaving.has(&head) {
                self.leaving.add(&head);
                leave_behind(state, head.first_seq, head.last_seq());
            }
        }
        for lane in Lane::LOWEST_FIRST {
            let mut chosen: Vec<Head> = Vec::new();
            for head in database.lane_heads(lane, self.evicted_to[lane as usize], HEADS_MAX)? {
                if self.leaving.bytes >= bytes || head.first_seq >= newest {
                    break;
                }
                if !self.leaving.has(&head) {
                    self.leaving.add(&head);
                    chosen.push(head);
                }
            }
            for run in chosen.chunk_by(|a, b| a.last_seq() + 1 == b.first_seq) {
                self.evicted_to[lane as usize] = run[run.len() - 1].last_seq() + 1;
                record_eviction(state, lane, run[0], run[run.len() - 1]);
            }
        }
        Ok(())
    }
}

/// The readings that no waited-for sink needs any more, as a range of first numbers; `None` if there are
/// none or they are to be kept.
fn delivered_segments(
    database: &Database,
    state: &mut LogState,
) -> Result<Option<(u64, u64)>, StorageError> {
    if state.config().retain_delivered {
        return Ok(None);
    }
    let Some(last) = last_whole_before(database, state.first_needed())? else { return Ok(None) };
    leave_behind(state, 1, last.last_seq());
    Ok(Some((0, last.first_seq)))
}

/// The last segment that ends before `end` and is not the newest one. The newest stays in any case, because
/// the next numbers follow from it.
fn last_whole_before(database: &Database, end: u64) -> Result<Option<Head>, StorageError> {
    let newest = database.newest()?.map_or(0, |head| head.first_seq);
    let Some(last) = database.head_before(end.min(newest))? else { return Ok(None) };
    if last.last_seq() < end {
        return Ok(Some(last));
    }
    database.head_before(last.first_seq)
}

/// Records that these numbers leave the log, for the best-effort sinks for which some of them are pending.
fn leave_behind(state: &mut LogState, first: u64, last: u64) {
    for sink in state.config().left_behind() {
        let settled = state.aggregates().settled(&sink);
        for (first, last) in state.aggregates().books.pending(&settled, first, last) {
            // A loss that continues the one before was reported when that began.
            if !state.aggregates().quarantine(&sink).skipped.contains(first - 1) {
                ReadingsSkipped { sink: &sink, first, last }.report();
            }
            state.record(Stream::quarantine(&sink), Event::Skipped { first, last });
        }
    }
}

/// Records and reports what is lost by evicting a run of segments from `oldest` to `newest`.
fn record_eviction(state: &mut LogState, lane: Lane, oldest: Head, newest: Head) {
    let (first, last) = (oldest.first_seq, newest.last_seq());
    let pending = state.aggregates().books.pending(&state.settled_by_waited_for(), first, last);
    let count = pending.iter().map(|(first, last)| last - first + 1).sum();
    if count == 0 {
        leave_behind(state, first, last);
        return;
    }
    let from = Moment { boot: oldest.boot, ms: oldest.first_ms };
    let to = Moment { boot: newest.boot, ms: newest.last_ms };
    state.record(Stream::ledger(), PublishedEvent::Evicted { lane, first, last, count, from, to });
    let [from, to] = [from, to].map(|moment| state.aggregates().boots.date(moment));
    ReadingsEvicted { lane: lane.name(), first, last, count, from, to }.report();
}
