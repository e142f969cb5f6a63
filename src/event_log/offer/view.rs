//! The log as one sink sees it: which part of it belongs to each lane.
//!
//! ```text
//!   1 ······· the backlog ······· mark ······· what is fresh ······· end
//!   alarm      stored as alarm, wherever it stands
//!   live                          but for what was stored as backfill
//!   backfill   everything         and what was stored as backfill
//! ```
//!
//! The *mark* is where fresh readings begin. Each sink has its own, kept only in memory. It moves on over
//! readings that the sink has, and it jumps when the reading at the mark has waited too long, so that after
//! an outage the freshest readings go first and everything before them is backlog.

use std::time::Duration;

use outstation_codec::Lane;

use crate::domain::model::interval_set::IntervalSet;
use crate::domain::policy::lanes::{LanePolicy, Order};
use crate::event_log::state::log_state::LogState;
use crate::event_log::status::PendingLanes;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::queries::Head;

/// The most intervals in the set of readings that a sink has before no further gaps are made. Readings that
/// overtake others leave a gap. Above this number, readings stored as backfill go in their turn, and the
/// mark jumps seldom. The set is written every few acknowledgements; with so many intervals it has some 12
/// KiB.
const INTERVALS_MAX: usize = 1024;
/// The same bound for alarms. They are few, and holding one back is worse than writing a larger set: while
/// a link is kept for alarms alone, each alarm that is sent makes one more gap, for weeks.
const INTERVALS_MAX_OF_ALARMS: usize = 4096;
/// With too many intervals, the mark waits for this many windows, since each jump adds one more.
const PATIENCE: u32 = 64;
/// The most segments that are searched, from the newest back, for the start of fresh readings.
const HEADS_MAX: usize = 256;

/// What a sink would be given now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SinkBacklog {
    pub(crate) pending_lanes: PendingLanes,
    /// How many pending readings have waited too long to be fresh.
    pub(crate) backlog: u64,
    /// When the first pending reading arrived, in milliseconds since this boot.
    pub(crate) oldest_ms: Option<i64>,
}

/// How far the lanes of a sink have come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// The number at which fresh readings begin.
    pub(crate) live: u64,
    /// No alarm before this number was pending at the last look.
    pub(crate) alarm: u64,
    /// Whether copies were offered last.
    pub(crate) copies: bool,
}

/// A selection of segments by the lane in which they were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Any,
    /// All segments that may not wait, alarms included in case the sink did not ask for them.
    ButBackfill,
    Only(Lane),
}

/// One place to look for the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Copies of readings that are replayed from the quarantine; they count as backfill.
    Copies,
    Stored(Lane),
}

/// A part of the log: the pending readings of `from..before` in these segments.
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
    /// The numbers that are not pending for the sink.
    pub(crate) closed: IntervalSet,
    /// The number after the last one stored.
    pub(crate) end: u64,
    pub(crate) marks: Marks,
}

impl<'a> View<'a> {
    /// Makes the view of a sink, with its marks moved over readings that are not pending for it. Returns
    /// `None` if the sink is not configured.
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

    /// Moves the mark if the reading there has waited too long, and returns whether it moved.
    pub(crate) fn keep_fresh(&mut self) -> Result<bool, StorageError> {
        let mark = self.marks.live;
        let Some(waiting) = self.database.holding(mark)? else { return Ok(false) };
        let patience = if self.is_crowded() { PATIENCE } else { 1 };
        let window = self.policy.live_window;
        if mark >= self.end || self.state.is_within(&waiting, window * patience) {
            return Ok(false);
        }
        // The mark moves to half the window and no further: on a link slower than the readings arrive, it
        // would have to move again with the next commit, and each jump leaves a gap.
        self.marks.live = self.fresh_from(window / 2)?.max(mark);
        self.move_marks()?;
        Ok(self.marks.live > mark)
    }

    /// Returns where the segments begin that arrived within `window`, or else the newest segment that may
    /// not wait, which is the freshest there is.
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

    /// Returns what the sink would be given now.
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

    /// The lane of segments that are sent in the order of the log, from the number `next` on.
    pub(crate) fn lane_as_stored(&self, next: u64) -> Result<Lane, StorageError> {
        Ok(if self.is_live(next)? { Lane::Live } else { Lane::Backfill })
    }

    /// Says whether the readings at `next` are fresh, in the order of the log.
    fn is_live(&self, next: u64) -> Result<bool, StorageError> {
        let head = self.database.holding(next)?;
        Ok(head.is_some_and(|head| self.state.is_within(&head, self.policy.live_window)))
    }

    /// Returns the first number at or after `from` that is pending for the sink, or the end of the log.
    pub(crate) fn pending_from(&self, from: u64) -> u64 {
        self.closed.first_gap(from.max(1)).min(self.end)
    }

    /// Counts the readings before a number that are pending for the sink.
    fn count_pending(&self, before: u64) -> u64 {
        let last = before.saturating_sub(1);
        last - self.closed.count_within(1, last)
    }

    fn is_crowded(&self) -> bool {
        self.closed.intervals().len() >= INTERVALS_MAX
    }

    /// Says whether some of a segment is pending for the sink.
    fn has_pending(&self, head: &Head) -> bool {
        self.pending_from(head.first_seq) <= head.last_seq()
    }

    /// The parts of the log that belong to a lane, in the order in which they are sent.
    pub(crate) fn scopes(&self, lane: Lane) -> Vec<Scope> {
        let Marks { live: mark, alarm, .. } = self.marks;
        let end = self.end;
        let scope = |from, before, stored| Scope { from, before, stored };
        match (self.policy.order, lane) {
            // In this order an alarm waits for its turn: its receiver would refuse the older readings that
            // come after it.
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

    /// The places to look for the lanes that are asked for. Copies that were offered and not accepted come
    /// last the next time, so that copies which their sink never accepts do not hold up anything else. In
    /// the order of the log copies come first, because the sink accepts nothing older than what it has.
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

    /// Returns the first pending number of a scope. A number that should be in the log and is not counts as
    /// present; reading it shows the loss.
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

    /// Returns the segment of a lane that holds a number, or the next one of that lane.
    fn head_of_lane(&self, lane: Lane, seq: u64) -> Result<Option<Head>, StorageError> {
        match self.database.holding(seq)?.filter(|head| head.lane == lane) {
            Some(head) => Ok(Some(head)),
            None => Ok(self.database.lane_heads(lane, seq, 1)?.pop()),
        }
    }
}
