//! The quarantine: readings that a sink refused for good are copied out of their segments, kept within
//! bounds, and offered again or dropped by order of a person.
//!
//! ```text
//!             ┌──────────── Replay ◀───────────┐
//!             ▼                                │
//!  refused ▶ held ──want of room, Drop──▶ discarded
//!             │ ▲                              ▲
//!      Replay ▼ └─refused again                │
//!          replayed ──want of room, Drop───────┘
//!             └──acknowledged──▶ delivered; so is what was discarded on its way to the sink
//! ```
//!
//! The aggregates record what is held, and the copies in the table follow in the same commit. A refused
//! reading counts as acknowledged in the sink's delivery state, so that nothing waits for it. This stays
//! so: a replayed reading is offered from its copy. Orders are in `orders.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use outstation_codec::PublishedEvent;

use super::report::QuarantineReport;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::interval_set::{IntervalSet, NONE};
use crate::domain::model::quarantine::Quarantine;
use crate::event_log::handle::Refused;
use crate::event_log::state::log_state::LogState;
use crate::event_log::store::copies::{Copied, CopyChange, bytes_of};
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::rows::QuarantineRow;
use crate::telemetry::events::quarantine::Why;

/// The fraction of the room for readings and events that copies may take.
const SHARE_OF_ROOM: u64 = 8;
/// How many runs of discarded readings are recorded by their numbers.
const DISCARDED_RUNS_MAX: usize = 256;

/// The changes of the copies between two commits.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// The bytes that the copies take in the file.
    bytes: u64,
    /// The changes for the next commit.
    staged: Vec<CopyChange>,
    /// Whether any staged change keeps a copy.
    keeps: bool,
    report: QuarantineReport,
}

impl Copies {
    pub(crate) fn staged(&self) -> Vec<CopyChange> {
        self.staged.clone()
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.staged.is_empty()
    }

    /// The bytes that the next commit adds.
    pub(crate) fn coming(&self) -> u64 {
        let kept = self.staged.iter().map(|change| match change {
            CopyChange::Keep(row) => bytes_of(row),
            CopyChange::Mark { .. } | CopyChange::Remove { .. } => 0,
        });
        kept.sum()
    }

    /// Stages a change. A copy that is kept and removed before it was written costs nothing, so while the
    /// storage fails, memory holds no more copies than the quarantine may have.
    pub(crate) fn stage(&mut self, change: CopyChange) {
        self.keeps |= matches!(change, CopyChange::Keep(_));
        if let (CopyChange::Remove { sink, first, last }, true) = (&change, self.keeps) {
            self.staged.retain(|known| match known {
                CopyChange::Keep(row) => {
                    let (from, to) = (row.segment.first_seq, row.segment.last_seq());
                    row.sink != *sink || from < *first || to > *last
                }
                CopyChange::Mark { .. } | CopyChange::Remove { .. } => true,
            });
        }
        match (self.staged.last_mut(), &change) {
            (
                Some(CopyChange::Remove { sink: known, last, .. }),
                CopyChange::Remove { sink, first, last: to },
            ) if known == sink && *last + 1 == *first => *last = *to,
            _ => self.staged.push(change),
        }
    }

    /// Makes the table follow the aggregates: copies that they count and the table lacks are discarded, and
    /// copies they do not know are removed. `copied` is what the table holds.
    pub(crate) fn reconcile(&mut self, state: &mut LogState, copied: &Copied) {
        self.bytes = copied.bytes;
        let known = state.aggregates().quarantines.iter();
        let kept: BTreeMap<String, IntervalSet> =
            known.map(|(sink, quarantine)| (sink.clone(), quarantine.kept())).collect();
        for (sink, numbers) in &kept {
            let there = copied.numbers.get(sink).unwrap_or(&NONE);
            for (first, last) in numbers.difference(there).intervals() {
                self.discard(state, sink, *first, *last, Why::Damaged);
            }
        }
        for (sink, there) in &copied.numbers {
            let numbers = kept.get(sink).unwrap_or(&NONE);
            for (first, last) in there.difference(numbers).intervals() {
                let (sink, first, last) = (sink.clone(), *first, *last);
                self.stage(CopyChange::Remove { sink, first, last });
            }
        }
        self.keep_to_limits(state);
    }

    /// Discards the excess of each sink's quarantine over the number of readings it may have.
    pub(crate) fn keep_to_limits(&mut self, state: &mut LogState) {
        for sink in state.config().quarantine_readings.clone().keys() {
            self.keep_to_limit(state, sink);
        }
    }

    fn keep_to_limit(&mut self, state: &mut LogState, sink: &str) {
        let most = state.config().quarantine_readings.get(sink).copied().unwrap_or(0);
        let quarantine = state.aggregates().quarantine(sink);
        let excess = quarantine.kept().count().saturating_sub(most);
        for (first, last) in quarantine.giving_way(excess) {
            self.discard(state, sink, first, last, Why::Limit);
        }
    }

    /// Puts readings that a sink refused into quarantine.
    pub(crate) fn refuse(&mut self, state: &mut LogState, sink: &str, refused: &Refused) {
        let segment = &refused.segment;
        let (first, last) = (segment.first_seq, segment.last_seq());
        let gone = state.aggregates().quarantine(sink).discarded.within(first, last);
        let reason = String::from(refused.reason.clone());
        self.report.refused(sink, first, last, &reason);
        let event = PublishedEvent::Refused { first, last, reason: reason.clone() };
        state.record(Stream::quarantine(sink), event);
        state.record(Stream::delivery(sink), Event::Acknowledged { first, last });
        let (sink, segment) = (sink.to_owned(), segment.clone());
        let row =
            QuarantineRow { sink: sink.clone(), segment, at: state.now(), replayed: false, reason };
        self.stage(CopyChange::Keep(row));
        // Readings that were discarded while they were being offered again stay discarded.
        for (first, last) in gone {
            self.take_away(state, &sink, first, last);
        }
        self.keep_to_limit(state, &sink);
    }

    /// Stops keeping these readings, and reports why.
    pub(crate) fn discard(
        &mut self,
        state: &mut LogState,
        sink: &str,
        first: u64,
        last: u64,
        why: Why,
    ) {
        self.take_away(state, sink, first, last);
        self.report.discarded(sink, first, last, why);
    }

    fn take_away(&mut self, state: &mut LogState, sink: &str, first: u64, last: u64) {
        state.record(Stream::quarantine(sink), PublishedEvent::Discarded { first, last });
        self.stage(CopyChange::Remove { sink: sink.to_owned(), first, last });
    }

    /// Records that a sink has these readings, some of which it may have refused before.
    pub(crate) fn accepted(&mut self, state: &mut LogState, sink: &str, first: u64, last: u64) {
        let Quarantine { replayed, discarded, .. } = state.aggregates().quarantine(sink);
        let refused = [replayed, discarded].map(|set| set.within(first, last)).concat();
        for (first, last) in refused {
            state.record(Stream::quarantine(sink), Event::Acknowledged { first, last });
            self.stage(CopyChange::Remove { sink: sink.to_owned(), first, last });
        }
    }

    /// Offers those of these readings that are held again, and returns how many there are.
    pub(crate) fn replay(
        &mut self,
        state: &mut LogState,
        sink: &str,
        first: u64,
        last: u64,
    ) -> u64 {
        let held = state.aggregates().quarantine(sink).held.within(first, last);
        for (first, last) in &held {
            let (first, last) = (*first, *last);
            state.record(Stream::quarantine(sink), PublishedEvent::Replayed { first, last });
            self.stage(CopyChange::Mark { sink: sink.to_owned(), first, last });
        }
        count(&held)
    }

    /// Drops the kept ones of these readings, by order of a person, and returns how many there are.
    pub(crate) fn drop_kept(
        &mut self,
        state: &mut LogState,
        sink: &str,
        first: u64,
        last: u64,
    ) -> u64 {
        let quarantine = state.aggregates().quarantine(sink);
        let kept =
            [&quarantine.held, &quarantine.replayed].map(|set| set.within(first, last)).concat();
        for (first, last) in &kept {
            self.discard(state, sink, *first, *last, Why::Dropped);
        }
        count(&kept)
    }

    /// Discards copies until they take no more than their share of `room`, in bytes, since readings that
    /// were never refused come first. Copies differ in size, so this is an estimate; the next commit
    /// measures the rest.
    pub(crate) fn bound(&mut self, state: &mut LogState, room: u64) {
        let (bytes, most) = (self.bytes + self.coming(), room / SHARE_OF_ROOM);
        let sinks = state.aggregates().quarantines.iter();
        let mut kept: Vec<(u64, String)> =
            sinks.map(|(sink, of)| (of.kept().count(), sink.clone())).collect();
        kept.sort_unstable();
        let all: u64 = kept.iter().map(|(count, _)| count).sum();
        if bytes <= most || all == 0 {
            return;
        }
        let part = |of: u64, share: u64, whole: u64| {
            let part = (u128::from(of) * u128::from(share)).div_ceil(u128::from(whole));
            u64::try_from(part).unwrap_or(of)
        };
        let mut excess = part(all, bytes - most, bytes);
        self.bytes -= part(self.bytes, excess, all);
        while let Some((count, sink)) = kept.pop().filter(|_| excess > 0) {
            let share = count.min(excess);
            excess -= share;
            for (first, last) in state.aggregates().quarantine(&sink).giving_way(share) {
                self.discard(state, &sink, first, last, Why::Room);
            }
        }
    }

    /// Records that the staged changes were written.
    pub(crate) fn committed(&mut self, database: &Database, now: Duration) {
        if self.is_committed() {
            return;
        }
        self.staged.clear();
        self.keeps = false;
        // If measuring fails, the old number stays until the next commit.
        if let Ok(bytes) = database.copied_bytes() {
            self.bytes = bytes;
        }
        self.report_in_time(now);
    }

    /// Reports what happened, unless a report came just now or some of it is not durable yet.
    pub(crate) fn report_in_time(&mut self, now: Duration) {
        if self.is_committed() {
            self.report.emit_in_time(now);
        }
    }

    /// Reports what happened and was not reported yet.
    pub(crate) fn report(&mut self) {
        self.report.emit();
    }
}

/// Replaces old numbers of discarded readings by a count, when there are too many runs of them.
pub(crate) fn forget_discarded(
    state: &mut LogState,
    database: &Database,
) -> Result<(), StorageError> {
    let quarantines = &state.aggregates().quarantines;
    let discarded = quarantines.values().map(|quarantine| &quarantine.discarded);
    let crowded: Vec<&IntervalSet> =
        discarded.filter(|set| set.intervals().len() > DISCARDED_RUNS_MAX).collect();
    if crowded.is_empty() {
        return Ok(());
    }
    // A number that has left the log and has no copy with any sink cannot change any more.
    let kept = quarantines.values().fold(IntervalSet::EMPTY, |all, of| all.union(&of.kept()));
    let gone = kept.missing(1, database.oldest_seq()?.saturating_sub(1));
    let runs = |(first, last)| crowded.iter().map(|set| set.within(first, last).len()).max();
    let most = gone.into_iter().map(|gap| (runs(gap), gap)).max();
    let Some((_, (first, last))) = most.filter(|(runs, _)| *runs > Some(DISCARDED_RUNS_MAX / 2))
    else {
        return Ok(());
    };
    let classes = state.aggregates().books.classes(&state.counting());
    let count = classes.refused.count_within(first, last);
    let of_sinks: Vec<(String, u64)> = quarantines
        .iter()
        .map(|(sink, of)| (sink.clone(), of.discarded.count_within(first, last)))
        .filter(|(_, count)| *count > 0)
        .collect();
    state.record(Stream::ledger(), Event::Forgotten { first, last, count });
    for (sink, count) in of_sinks {
        state.record(Stream::quarantine(&sink), Event::Forgotten { first, last, count });
    }
    Ok(())
}

fn count(runs: &[(u64, u64)]) -> u64 {
    runs.iter().map(|(first, last)| last - first + 1).sum()
}
