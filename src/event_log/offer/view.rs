//! The log as one sink sees it: which part of it each lane is.
//!
//! ```text
//!   1 ······· the backlog ······· mark ······· what is fresh ······· end
//!   alarm      stored as alarm, wherever it stands
//!   live                          but for what was stored as backfill
//!   backfill   everything         and what was stored as backfill
//! ```
//!
//! The *mark* is the sink's own and is kept in memory alone: where fresh readings begin. It moves on over
//! what the sink has, and it jumps when what stands there has waited too long, so that after an outage
//! the freshest state goes first and everything before it is the backlog.

use std::time::Duration;

use outstation_codec::Lane;

use crate::domain::model::interval_set::IntervalSet;
use crate::domain::policy::lanes::{LanePolicy, Order};
use crate::event_log::state::log_state::LogState;
use crate::event_log::status::PendingLanes;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::queries::Head;

/// Whatever overtakes leaves a gap behind it in the set of what the sink has. With so many intervals
/// nothing makes new gaps in passing: what was stored as backfill goes in its turn, and the mark jumps
/// seldom. The set is written each few acknowledgements; of this size it is some 12 KiB.
const INTERVALS_MAX: usize = 1024;
/// The same for alarms. They are few, and to hold one back is worse than to write a larger set: while a
/// link is kept for alarms alone, each that leaves makes one more gap, for weeks.
const INTERVALS_MAX_OF_ALARMS: usize = 4096;
/// With too many intervals the mark waits so many windows: each jump adds one more.
const PATIENCE: u32 = 64;
/// Segments looked at, from the newest back, for where fresh readings begin.
const HEADS_MAX: usize = 256;

/// What a sink would be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SinkBacklog {
    pub(crate) pending_lanes: PendingLanes,
    /// How many readings have waited too long to be fresh.
    pub(crate) backlog: u64,
    /// When the first one arrived, in milliseconds since this boot.
    pub(crate) oldest_ms: Option<i64>,
}

/// How far the lanes of a sink have come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// What is fresh begins here.
    pub(crate) live: u64,
    /// No alarm before was pending when it was last looked.
    pub(crate) alarm: u64,
    /// Whether what it was offered last were copies.
    pub(crate) copies: bool,
}

/// Which segments, by the lane they were stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Any,
    /// Whatever may not wait: alarms too, if they were not asked for.
    ButBackfill,
    Only(Lane),
}

/// What a batch is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// What is replayed from the quarantine, which is backfill.
    Copies,
    Stored(Lane),
}

/// A part of the log: what is pending in `from..before` and stored so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) from: u64,
    pub(crate) before: u64,
    pub(crate) stored: Stored,
}

/// The log as one sink sees it at one moment.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) database: &'a Database,
    state: &'a LogState,
    pub(crate) policy: LanePolicy,
    /// What is not pending for the sink.
    pub(crate) closed: IntervalSet,
    /// The number after the last one stored.
    pub(crate) end: u64,
    pub(crate) marks: Marks,
}

impl<'a> View<'a> {
    /// How the log looks to a sink now, its marks moved over what is not pending for it; none for a
    /// sink that is not configured.
    pub(crate) fn of(
        database: &'a Database,
        state: &'a LogState,
        sink: &str,
        marks: Marks,
    ) -> Result<Option<Self>, StorageError> {
        let Some(policy) = state.config().rules(sink).map(|rules| rules.lanes) else {
            return Ok(None);
        };
        let (closed, end) = (state.aggregates().closed(sink), state.next_seq());
        let mut view = Self { database, state, policy, closed, end, marks };
        view.move_marks()?;
        Ok(Some(view))
    }

    fn move_marks(&mut self) -> Result<(), StorageError> {
        if self.policy.order == Order::AsStored {
            return Ok(());
        }
        if let Some(scope) = self.scopes(Lane::Alarm).first() {
            self.marks.alarm = self.first_of(scope)?.unwrap_or(self.end);
        }
        if let Some(scope) = self.scopes(Lane::Live).first() {
            self.marks.live = self.first_of(scope)?.unwrap_or(self.end);
        }
        Ok(())
    }

    /// Moves the mark when what stands there has waited too long. Says whether it moved.
    pub(crate) fn keep_fresh(&mut self) -> Result<bool, StorageError> {
        let mark = self.marks.live;
        let Some(waiting) = self.database.holding(mark)? else { return Ok(false) };
        let patience = if self.is_crowded() { PATIENCE } else { 1 };
        let window = self.policy.live_window;
        if mark >= self.end || self.state.is_within(&waiting, window * patience) {
            return Ok(false);
        }
        // No further than half the window: a link slower than the readings come would be late again with
        // the next commit, and each jump leaves a gap.
        self.marks.live = self.fresh_from(window / 2)?.max(mark);
        self.move_marks()?;
        Ok(self.marks.live > mark)
    }

    /// Where the segments begin that arrived in the last so long, or else the newest one that may not
    /// wait: the freshest state there is.
    fn fresh_from(&self, window: Duration) -> Result<u64, StorageError> {
        let heads = self.database.heads_before(self.end, HEADS_MAX)?;
        let mut from = heads.first().map_or(self.end, |newest| newest.first_seq);
        let mut found = false;
        for head in heads {
            let fresh = self.state.is_within(&head, window);
            if found && !fresh {
                break;
            }
            found |= head.lane != Lane::Backfill && self.has_pending(&head);
            if fresh || found {
                from = head.first_seq;
            }
        }
        Ok(from)
    }

    /// What the sink would be given now.
    pub(crate) fn backlog(&self) -> Result<SinkBacklog, StorageError> {
        let next = self.pending_from(1);
        let oldest_ms = self.database.holding(next)?.map(|head| self.state.on_this_boot(&head));
        if self.policy.order == Order::AsStored {
            let live = self.is_live(next)?;
            let pending_lanes =
                PendingLanes { alarm: false, live, backfill: next < self.end && !live };
            let backlog = if live { 0 } else { self.count_pending(self.end) };
            return Ok(SinkBacklog { pending_lanes, backlog, oldest_ms });
        }
        let pending_lanes = PendingLanes {
            alarm: self.holds(Lane::Alarm)?,
            live: self.holds(Lane::Live)?,
            backfill: self.holds(Lane::Backfill)?,
        };
        Ok(SinkBacklog { pending_lanes, backlog: self.count_pending(self.marks.live), oldest_ms })
    }

    fn holds(&self, lane: Lane) -> Result<bool, StorageError> {
        for scope in self.scopes(lane) {
            if self.first_of(&scope)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The lane that segments go in when they are given in the order they were stored.
    pub(crate) fn lane_as_stored(&self, next: u64) -> Result<Lane, StorageError> {
        Ok(if self.is_live(next)? { Lane::Live } else { Lane::Backfill })
    }

    /// Whether what the sink is given next, in the order it was stored, is fresh.
    fn is_live(&self, next: u64) -> Result<bool, StorageError> {
        let head = self.database.holding(next)?;
        Ok(head.is_some_and(|head| self.state.is_within(&head, self.policy.live_window)))
    }

    /// The first number from here on that is pending for the sink, if the log goes so far.
    pub(crate) fn pending_from(&self, from: u64) -> u64 {
        self.closed.first_gap(from.max(1)).min(self.end)
    }

    /// How many readings before a number are pending for the sink.
    fn count_pending(&self, before: u64) -> u64 {
        let last = before.saturating_sub(1);
        last - self.closed.count_within(1, last)
    }

    fn is_crowded(&self) -> bool {
        self.closed.intervals().len() >= INTERVALS_MAX
    }

    /// Whether some of a segment is pending for the sink.
    fn has_pending(&self, head: &Head) -> bool {
        self.pending_from(head.first_seq) <= head.last_seq()
    }

    /// The parts of the log that a lane is, in the order in which they go.
    pub(crate) fn scopes(&self, lane: Lane) -> Vec<Scope> {
        let Marks { live: mark, alarm, .. } = self.marks;
        let end = self.end;
        let scope = |from, before, stored| Scope { from, before, stored };
        match (self.policy.order, lane) {
            // An alarm that is not next has to wait: its receiver would refuse what comes behind it.
            (Order::AsStored, Lane::Alarm) => Vec::new(),
            (Order::AsStored, _) => vec![scope(1, end, Stored::Any)],
            (Order::LiveFirst, Lane::Alarm)
                if self.closed.intervals().len() >= INTERVALS_MAX_OF_ALARMS =>
            {
                Vec::new()
            }
            (Order::LiveFirst, Lane::Alarm) => vec![scope(alarm, end, Stored::Only(lane))],
            (Order::LiveFirst, Lane::Live) if self.is_crowded() => {
                vec![scope(mark, end, Stored::Any)]
            }
            (Order::LiveFirst, Lane::Live) => vec![scope(mark, end, Stored::ButBackfill)],
            (Order::LiveFirst, Lane::Backfill) => {
                vec![scope(1, mark, Stored::Any), scope(mark, end, Stored::Only(lane))]
            }
        }
    }

    /// Where to look, given what is asked for. Copies that were offered and not taken come last the
    /// next time: those that their sink never takes hold up nothing else. In the order stored they go
    /// before everything, because nothing is taken that is older than what the sink has.
    pub(crate) fn turns(&self, lanes: &[Lane]) -> Vec<Turn> {
        let mut turns: Vec<Turn> = lanes.iter().map(|lane| Turn::Stored(*lane)).collect();
        if let Some(backfill) = lanes.iter().position(|lane| *lane == Lane::Backfill) {
            let at = match self.policy.order {
                Order::AsStored => 0,
                Order::LiveFirst if self.marks.copies => turns.len(),
                Order::LiveFirst => backfill,
            };
            turns.insert(at, Turn::Copies);
        }
        turns
    }

    /// The first number of a scope that is pending. What should be there and is not counts as
    /// there: whoever reads it finds out.
    pub(crate) fn first_of(&self, scope: &Scope) -> Result<Option<u64>, StorageError> {
        let mut next = self.pending_from(scope.from);
        while next < scope.before {
            let passed = match scope.stored {
                Stored::Any => return Ok(Some(next)),
                Stored::ButBackfill => match self.database.holding(next)? {
                    Some(head) if head.lane == Lane::Backfill => head,
                    _ => return Ok(Some(next)),
                },
                Stored::Only(lane) => {
                    let Some(head) = self.head_of_lane(lane, next)? else { return Ok(None) };
                    let first = self.pending_from(head.first_seq.max(next));
                    if first <= head.last_seq() {
                        return Ok(Some(first).filter(|first| *first < scope.before));
                    }
                    head
                }
            };
            next = self.pending_from(passed.last_seq().max(next) + 1);
        }
        Ok(None)
    }

    /// The segment of a lane that holds a number, or the next one.
    fn head_of_lane(&self, lane: Lane, seq: u64) -> Result<Option<Head>, StorageError> {
        match self.database.holding(seq)?.filter(|head| head.lane == lane) {
            Some(head) => Ok(Some(head)),
            None => Ok(self.database.lane_heads(lane, seq, 1)?.pop()),
        }
    }
}
