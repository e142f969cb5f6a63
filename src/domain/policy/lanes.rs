//! Decides which lane is sent next.
//!
//! Alarms always come first. Between fresh readings and the backlog, stride scheduling decides (Waldspurger
//! 1995): each lane has a clock that advances with its readings, that of the backlog `live_share` times as
//! far for each, and the lane whose clock is behind goes next. The clock of an empty lane is set to that of
//! the other one: the empty lane saves up no credit, and the other has the whole link meanwhile.

use std::time::Duration;

use outstation_codec::Lane;

/// The order in which a sink gets its pending readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Alarms first, then fresh readings, with the backlog behind them.
    LiveFirst,
    /// In the order of the log, oldest first, for receivers that refuse a time before one they have.
    AsStored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePolicy {
    pub order: Order,
    /// How many live readings are sent for each one of the backlog, while both lanes have some.
    pub live_share: u32,
    /// How long a reading may wait for this sink before it counts as backlog.
    pub live_window: Duration,
}

impl Default for LanePolicy {
    fn default() -> Self {
        Self { order: Order::LiveFirst, live_share: 4, live_window: Duration::from_secs(10) }
    }
}

/// The lanes that may be sent while everything else is held back.
pub const ALARMS: &[Lane] = &[Lane::Alarm];
const LIVE_FIRST: &[Lane] = &[Lane::Alarm, Lane::Live, Lane::Backfill];
const BACKFILL_FIRST: &[Lane] = &[Lane::Alarm, Lane::Backfill, Lane::Live];

/// Decides which lane is next.
#[derive(Clone, Debug)]
pub struct Schedule {
    policy: LanePolicy,
    live: u64,
    backfill: u64,
}

impl Schedule {
    pub fn new(policy: LanePolicy) -> Self {
        Self { policy, live: 0, backfill: 0 }
    }

    /// The lanes in the order in which they may be sent now.
    pub fn lanes(&self) -> &'static [Lane] {
        match self.policy.order {
            Order::LiveFirst if self.backfill < self.live => BACKFILL_FIRST,
            Order::LiveFirst | Order::AsStored => LIVE_FIRST,
        }
    }

    /// Says whether another lane may be sent before the leftovers of a batch.
    pub fn overtakes(&self) -> bool {
        self.policy.order == Order::LiveFirst
    }

    /// Records that the lanes were asked in this order and that `first` is the first one that had readings.
    pub fn found(&mut self, asked: &[Lane], first: Option<Lane>) {
        for lane in asked.iter().take_while(|lane| Some(**lane) != first) {
            match lane {
                Lane::Live => self.live = self.live.max(self.backfill),
                Lane::Backfill => self.backfill = self.backfill.max(self.live),
                Lane::Alarm => {}
            }
        }
    }

    /// Records that readings of a lane were delivered.
    pub fn sent(&mut self, lane: Lane, readings: u64) {
        let share = u64::from(self.policy.live_share);
        match lane {
            Lane::Live => self.live = self.live.saturating_add(readings),
            Lane::Backfill => {
                self.backfill = self.backfill.saturating_add(readings.saturating_mul(share));
            }
            Lane::Alarm => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(live_share: u32) -> Schedule {
        let live_window = Duration::from_secs(10);
        Schedule::new(LanePolicy { order: Order::LiveFirst, live_share, live_window })
    }

    /// A sink with a number of pending readings in each lane.
    struct Queue {
        schedule: Schedule,
        holds: [u64; 3],
    }

    impl Queue {
        /// Takes the next batch of at most so many readings.
        fn next(&mut self, most: u64) -> Option<(Lane, u64)> {
            let lanes = self.schedule.lanes();
            let first = lanes.iter().copied().find(|lane| self.holds[*lane as usize] > 0);
            self.schedule.found(lanes, first);
            let held = &mut self.holds[first? as usize];
            let readings = most.min(*held);
            *held -= readings;
            self.schedule.sent(first?, readings);
            Some((first?, readings))
        }
    }

    proptest! {
        #[test]
        fn busy_lanes_have_their_shares_and_neither_starves(
            share in 1u32..=100,
            sizes in prop::collection::vec(1u64..=1000, 500..800),
        ) {
            let mut queue = Queue { schedule: schedule(share), holds: [0, 1 << 40, 1 << 40] };
            let (mut sent, mut live_in_row) = ([0u64; 3], 0u64);
            for size in &sizes {
                let (lane, readings) = queue.next(*size).expect("both are full");
                sent[lane as usize] += readings;
                live_in_row = if lane == Lane::Live { live_in_row + readings } else { 0 };
                prop_assert!(live_in_row <= u64::from(share) * 1000 + 1000, "the backlog starves");
                // No lane is ever further from its share than one batch takes it.
                let due = sent[Lane::Backfill as usize] * u64::from(share);
                let ahead = sent[Lane::Live as usize].abs_diff(due);
                prop_assert!(ahead <= 1000 * u64::from(share), "{:?} at {}", sent, share);
            }
        }

        #[test]
        fn an_idle_lane_saves_up_nothing_and_leaves_the_link_to_the_other(
            share in 1u32..=100,
            alone in prop::sample::select(vec![Lane::Live, Lane::Backfill]),
        ) {
            let other = if alone == Lane::Live { Lane::Backfill } else { Lane::Live };
            let mut queue = Queue { schedule: schedule(share), holds: [0; 3] };
            queue.holds[alone as usize] = 1 << 20;
            while let Some((lane, _)) = queue.next(1000) {
                prop_assert_eq!(lane, alone);
            }
            queue.holds = [0, 1 << 30, 1 << 30];
            let mut in_row = 0;
            while queue.next(1000).expect("both are full").0 == other {
                in_row += 1;
            }
            let due = if other == Lane::Live { u64::from(share) + 1 } else { 2 };
            prop_assert!(in_row <= due, "{} batches of {:?} in a row", in_row, other);
        }
    }

    #[test]
    fn alarms_go_before_everything_whatever_is_due() {
        let mut queue = Queue { schedule: schedule(4), holds: [0, 100_000, 100_000] };
        for _ in 0..50 {
            queue.holds[Lane::Alarm as usize] = 1;
            assert_eq!(queue.next(1000), Some((Lane::Alarm, 1)));
            assert!(queue.next(1000).is_some_and(|(lane, _)| lane != Lane::Alarm));
        }
    }

    #[test]
    fn fresh_readings_that_come_now_and_then_go_at_once() {
        let mut queue = Queue { schedule: schedule(4), holds: [0, 0, 1 << 30] };
        for _ in 0..50 {
            assert_eq!(queue.next(65_536), Some((Lane::Backfill, 65_536)));
            queue.holds[Lane::Live as usize] = 1000;
            assert_eq!(queue.next(65_536), Some((Lane::Live, 1000)));
        }
    }
}
