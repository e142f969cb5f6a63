//! Counts the outcomes of recent requests over a sliding window, in constant memory.

use std::time::Duration;

/// The window slides in steps of this many seconds: coarse enough to take few bytes for two minutes.
const SLOT_S: u64 = 10;
const SLOTS: usize = 12;

/// The outcomes of the last two minutes, give or take a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes([Slot; SLOTS]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// The number of the slot, counted from the fixed point of the moments.
    number: u64,
    all: u32,
    failed: u32,
}

impl Outcomes {
    pub fn note(&mut self, now: Duration, failed: bool) {
        let number = now.as_secs() / SLOT_S;
        let place = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        let slot = &mut self.0[place];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.all = slot.all.saturating_add(1);
        slot.failed = slot.failed.saturating_add(u32::from(failed));
    }

    /// Says whether there are at least `all_min` outcomes and at least half of them are failures.
    pub fn mostly_failed(&self, now: Duration, all_min: u32) -> bool {
        let oldest = (now.as_secs() / SLOT_S + 1).saturating_sub(SLOTS as u64);
        let recent = self.0.iter().filter(|slot| slot.number >= oldest);
        let (all, failed) = recent.fold((0_u64, 0_u64), |(all, failed), slot| {
            (all + u64::from(slot.all), failed + u64::from(slot.failed))
        });
        all >= u64::from(all_min) && 2 * failed >= all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn half_of_enough_outcomes_is_most() {
        let mut outcomes = Outcomes::default();
        for at in 0..10 {
            assert!(!outcomes.mostly_failed(seconds(at), 10), "{at} are too few");
            outcomes.note(seconds(at), at % 2 == 0);
        }
        assert!(outcomes.mostly_failed(seconds(10), 10));
        outcomes.note(seconds(10), false);
        assert!(!outcomes.mostly_failed(seconds(10), 10), "5 of 11 are fewer than half");
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut outcomes = Outcomes::default();
        (0..10).for_each(|_| outcomes.note(seconds(5), true));
        assert!(outcomes.mostly_failed(seconds(119), 10));
        assert!(!outcomes.mostly_failed(seconds(120), 10));
        // This moment uses the slot again.
        outcomes.note(seconds(125), false);
        assert!(!outcomes.mostly_failed(seconds(125), 1));
    }
}
