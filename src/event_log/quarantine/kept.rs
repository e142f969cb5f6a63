//! The quarantine: readings that a sink will never take are copied out of their segments, kept aside
//! within bounds, and offered again or dropped as a person commands.
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
//! What is held is said by the aggregates; the copies in the table follow with the same commit. A
//! reading that was refused counts as acknowledged in the sink's delivery state, so that nothing waits
//! for it, and stays so: what is replayed is offered from its copy. What a person wants is in `orders`.

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

/// Copies may take this part of the room for readings and events.
const SHARE_OF_ROOM: u64 = 8;
/// Runs of discarded readings that are remembered by their numbers.
const DISCARDED_RUNS_MAX: usize = 256;

/// The copies between two commits.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// What they take in the file.
    bytes: u64,
    /// For the next commit.
    staged: Vec<CopyChange>,
    /// Whether any of it keeps something.
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

    /// What is kept and removed before it was ever written costs nothing: while the storage fails,
    /// memory holds no more than the quarantine may.
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

    /// The table is made to follow the aggregates: what they count on and is not there is gone, what
    /// they do not know of is of no use. `copied` is what the table holds.
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

    /// Holds each sink's quarantine to the number of readings that it may have.
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

    /// Sets aside what a sink will never take.
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
        // What was discarded on its way to a sink that was offered it again does not come back.
        for (first, last) in gone {
            self.take_away(state, &sink, first, last);
        }
        self.keep_to_limit(state, &sink);
    }

    /// Keeps these readings no longer.
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

    /// A sink has these readings; among them may be some that it had refused before.
    pub(crate) fn accepted(&mut self, state: &mut LogState, sink: &str, first: u64, last: u64) {
        let Quarantine { replayed, discarded, .. } = state.aggregates().quarantine(sink);
        let refused = [replayed, discarded].map(|set| set.within(first, last)).concat();
        for (first, last) in refused {
            state.record(Stream::quarantine(sink), Event::Acknowledged { first, last });
            self.stage(CopyChange::Remove { sink: sink.to_owned(), first, last });
        }
    }

    /// Offers what is held of these readings once more. Returns how many they are.
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

    /// Drops what is kept of these readings, as a person commands. Returns how many they are.
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

    /// Copies give way to what was never refused: they may take their share of `room`. They are of any
    /// size, so this is an estimate; the next commit measures what is left.
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

    /// The copies are written as they were staged.
    pub(crate) fn committed(&mut self, database: &Database, now: Duration) {
        if self.is_committed() {
            return;
        }
        self.staged.clear();
        self.keeps = false;
        // Unmeasured they count as before; the next commit measures again.
        if let Ok(bytes) = database.copied_bytes() {
            self.bytes = bytes;
        }
        self.report_in_time(now);
    }

    /// Says what happened, unless something was said just now or is not durable yet.
    pub(crate) fn report_in_time(&mut self, now: Duration) {
        if self.is_committed() {
            self.report.emit_in_time(now);
        }
    }

    /// Says what happened and was not said yet.
    pub(crate) fn report(&mut self) {
        self.report.emit();
    }
}

/// Readings that are gone for good need not be remembered one by one for ever.
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
    // Nothing can become of a number any more that has left the log and of which nobody has a copy.
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
