//! Which part of the log each lane of a sink is.
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

use crate::domain::model::batch::Lane;
use crate::domain::model::boots::Moment;
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::policy::lanes::{LanePolicy, Order};
use crate::event_log::actor::LogActor;
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

/// Which lanes hold something for a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    pub alarm: bool,
    pub live: bool,
    pub backfill: bool,
}

impl Owed {
    pub fn has(&self, lane: Lane) -> bool {
        match lane {
            Lane::Alarm => self.alarm,
            Lane::Live => self.live,
            Lane::Backfill => self.backfill,
        }
    }
}

/// What a sink would be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) owed: Owed,
    /// How many readings have waited too long to be fresh.
    pub(crate) backlog: u64,
    /// When the first one arrived, in milliseconds since this boot.
    pub(crate) oldest_ms: Option<i64>,
}

/// How far the lanes of a sink have come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// What is fresh begins here.
    live: u64,
    /// No alarm before was owed when it was last looked.
    alarm: u64,
    /// Whether what it was offered last were copies.
    copies: bool,
}

impl Marks {
    pub(crate) fn live(&self) -> u64 {
        self.live
    }
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

/// A part of the log: what is owed in `from..before` and stored so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) from: u64,
    pub(crate) before: u64,
    pub(crate) stored: Stored,
}

/// The log as one sink sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) policy: LanePolicy,
    /// What the sink is not owed.
    pub(crate) closed: IntervalSet,
    /// The number after the last one stored.
    pub(crate) end: u64,
    pub(crate) marks: Marks,
}

impl View {
    /// The first number from here on that the sink is owed, if the log goes so far.
    pub(crate) fn owed_from(&self, from: u64) -> u64 {
        self.closed.first_gap(from.max(1)).min(self.end)
    }

    /// How many readings before a number the sink is owed.
    fn count_owed(&self, before: u64) -> u64 {
        let last = before.saturating_sub(1);
        last - self.closed.count_within(1, last)
    }

    fn is_crowded(&self) -> bool {
        self.closed.intervals().len() >= INTERVALS_MAX
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

    /// Whether the sink is owed something of a segment.
    fn owes(&self, head: &Head) -> bool {
        self.owed_from(head.first_seq) <= head.last_seq()
    }
}

impl LogActor {
    /// How the log looks to a sink now, its marks moved over what it is not owed.
    pub(crate) fn view(&mut self, sink: &str) -> Result<Option<View>, StorageError> {
        let Some(policy) = self.config.rules(sink).map(|rules| rules.lanes) else {
            return Ok(None);
        };
        let closed = self.aggregates.closed(sink);
        let marks = self.marks.get(sink).copied().unwrap_or_default();
        let mut view = View { policy, closed, end: self.next_seq, marks };
        self.move_marks(&mut view)?;
        self.marks.insert(sink.to_owned(), view.marks);
        Ok(Some(view))
    }

    fn move_marks(&self, view: &mut View) -> Result<(), StorageError> {
        if view.policy.order == Order::AsStored {
            return Ok(());
        }
        if let Some(scope) = view.scopes(Lane::Alarm).first() {
            view.marks.alarm = self.first_of(scope, view)?.unwrap_or(view.end);
        }
        if let Some(scope) = view.scopes(Lane::Live).first() {
            view.marks.live = self.first_of(scope, view)?.unwrap_or(view.end);
        }
        Ok(())
    }

    /// The first number of a scope that is owed. What should be there and is not counts as there:
    /// whoever reads it finds out.
    pub(crate) fn first_of(&self, scope: &Scope, view: &View) -> Result<Option<u64>, StorageError> {
        let mut next = view.owed_from(scope.from);
        while next < scope.before {
            let passed = match scope.stored {
                Stored::Any => return Ok(Some(next)),
                Stored::ButBackfill => match self.database.holding(next)? {
                    Some(head) if head.lane == Lane::Backfill => head,
                    _ => return Ok(Some(next)),
                },
                Stored::Only(lane) => {
                    let Some(head) = self.head_of_lane(lane, next)? else { return Ok(None) };
                    let first = view.owed_from(head.first_seq.max(next));
                    if first <= head.last_seq() {
                        return Ok(Some(first).filter(|first| *first < scope.before));
                    }
                    head
                }
            };
            next = view.owed_from(passed.last_seq().max(next) + 1);
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

    /// Notes whether what a sink is offered now are copies.
    pub(crate) fn offered_copies(&mut self, sink: &str, copies: bool) {
        self.marks.entry(sink.to_owned()).or_default().copies = copies;
    }

    /// Moves the mark of a sink when what stands there has waited too long. Says whether it moved.
    pub(crate) fn keep_fresh(&mut self, sink: &str, view: &mut View) -> Result<bool, StorageError> {
        let mark = view.marks.live;
        let Some(waiting) = self.database.holding(mark)? else { return Ok(false) };
        let patience = if view.is_crowded() { PATIENCE } else { 1 };
        let window = view.policy.live_window;
        if mark >= view.end || self.is_within(&waiting, window * patience) {
            return Ok(false);
        }
        // No further than half the window: a link slower than the readings come would be late again with
        // the next commit, and each jump leaves a gap.
        view.marks.live = self.fresh_from(view, window / 2)?.max(mark);
        self.move_marks(view)?;
        self.marks.insert(sink.to_owned(), view.marks);
        Ok(view.marks.live > mark)
    }

    /// Where the segments begin that arrived in the last so long, or else the newest one that may not
    /// wait: the freshest state there is.
    fn fresh_from(&self, view: &View, window: std::time::Duration) -> Result<u64, StorageError> {
        let heads = self.database.heads_before(view.end, HEADS_MAX)?;
        let mut from = heads.first().map_or(view.end, |newest| newest.first_seq);
        let mut found = false;
        for head in heads {
            let fresh = self.is_within(&head, window);
            if found && !fresh {
                break;
            }
            found |= head.lane != Lane::Backfill && view.owes(&head);
            if fresh || found {
                from = head.first_seq;
            }
        }
        Ok(from)
    }

    /// Whether the last reading of a segment arrived in the last so long. Another boot is longer ago than
    /// anything.
    pub(crate) fn is_within(&self, head: &Head, window: std::time::Duration) -> bool {
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let age = self.clock.since_boot_ms().saturating_sub(head.last_ms);
        head.boot == self.boot && age <= window
    }

    /// What a sink would be given now.
    pub(crate) fn due(&mut self, sink: &str) -> Result<Due, StorageError> {
        let Some(view) = self.view(sink)? else { return Ok(Due::default()) };
        let next = view.owed_from(1);
        let oldest_ms = self.database.holding(next)?.map(|head| self.on_this_boot(&head));
        if view.policy.order == Order::AsStored {
            let live = self.is_live(next, &view)?;
            let owed = Owed { alarm: false, live, backfill: next < view.end && !live };
            let backlog = if live { 0 } else { view.count_owed(view.end) };
            return Ok(Due { owed, backlog, oldest_ms });
        }
        let holds = |lane: Lane| -> Result<bool, StorageError> {
            for scope in view.scopes(lane) {
                if self.first_of(&scope, &view)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let owed = Owed {
            alarm: holds(Lane::Alarm)?,
            live: holds(Lane::Live)?,
            backfill: holds(Lane::Backfill)?,
        };
        Ok(Due { owed, backlog: view.count_owed(view.marks.live), oldest_ms })
    }

    /// When the first reading of a segment arrived, in milliseconds since this boot. If it was in an
    /// earlier boot, that is before zero; how long before only two clocks that were set can tell.
    fn on_this_boot(&self, head: &Head) -> i64 {
        if head.boot == self.boot {
            return head.first_ms;
        }
        let boots = &self.aggregates.boots;
        let date = |ms, boot| boots.date(Moment { boot, ms });
        match (date(head.first_ms, head.boot), date(0, self.boot)) {
            ((arrived, true), (booted, true)) => (arrived - booted).min(0),
            _ => 0,
        }
    }

    /// Whether what a sink is given next, in the order it was stored, is fresh.
    pub(crate) fn is_live(&self, next: u64, view: &View) -> Result<bool, StorageError> {
        let head = self.database.holding(next)?;
        Ok(head.is_some_and(|head| self.is_within(&head, view.policy.live_window)))
    }
}
