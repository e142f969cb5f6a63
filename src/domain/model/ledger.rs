//! The ledger: the account of every byte, frame and reading, and the equations it must satisfy.
//!
//! ```text
//! bytes    = frame bytes + fault bytes + padding
//! frames   = readings accepted + control frames + decode faults
//! accepted = stored + lost{overflow} (+ accepted and not yet committed)
//! stored   = delivered + pending + quarantined + lost{evicted, damaged, refused}
//! ```

use std::collections::BTreeMap;

use outstation_codec::{FaultCounts, FaultStage, Loss};
use serde::{Deserialize, Serialize};

use super::interval_set::IntervalSet;
use super::reading_class::{Classes, SinkState};

/// What one port took in, over its whole life or since its last message to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    pub bytes: u64,
    pub frame_bytes: u64,
    pub fault_bytes: u64,
    pub padding_bytes: u64,
    pub frames: u64,
    /// Frames that carry no reading: hello, log.
    pub control: u64,
    /// Readings that were decoded and offered to the log.
    pub accepted: u64,
    /// Accepted readings that were dropped because the log did not keep up.
    pub overflow: u64,
    pub faults: FaultCounts,
}

impl Intake {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.frame_bytes += other.frame_bytes;
        self.fault_bytes += other.fault_bytes;
        self.padding_bytes += other.padding_bytes;
        self.frames += other.frames;
        self.control += other.control;
        self.accepted += other.accepted;
        self.overflow += other.overflow;
        self.faults.merge(&other.faults);
    }
}

/// The aggregate of the `ledger` stream: what came in over the life of the log, and which readings were
/// lost after they were stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    pub ports: BTreeMap<String, Intake>,
    pub evicted: IntervalSet,
    pub damaged: IntervalSet,
    /// How many readings were refused, not kept, and removed from the log so long ago that their numbers
    /// are no longer recorded.
    pub forgotten: u64,
}

impl Books {
    pub fn took_in(&mut self, port: &str, intake: &Intake) {
        self.ports.entry(port.to_owned()).or_default().merge(intake);
    }

    pub fn lost(&mut self, loss: Loss, first: u64, last: u64) {
        match loss {
            Loss::Evicted => self.evicted.insert(first, last),
            Loss::Damaged => self.damaged.insert(first, last),
            // An overflow happens before a reading has a number, and a refusal is recorded in the stream of
            // its sink, so neither comes here.
            Loss::Overflow | Loss::Refused => 0,
        };
    }

    /// How many readings were given a number. As numbers count from 1, this is also the last number.
    pub fn stored(&self) -> u64 {
        let intake = self.intake();
        intake.accepted.saturating_sub(intake.overflow)
    }

    pub fn intake(&self) -> Intake {
        let mut total = Intake::default();
        self.ports.values().for_each(|intake| total.merge(intake));
        total
    }

    /// Returns the numbers of `first..=last` that are neither delivered nor lost, as intervals.
    pub fn pending(&self, delivered: &IntervalSet, first: u64, last: u64) -> Vec<(u64, u64)> {
        let missing = |set: &IntervalSet, from: Vec<(u64, u64)>| -> Vec<(u64, u64)> {
            from.into_iter().flat_map(|(first, last)| set.missing(first, last)).collect()
        };
        missing(&self.damaged, missing(&self.evicted, delivered.missing(first, last)))
    }

    /// The bytes of each port that are accounted for.
    pub fn bytes(&self) -> BTreeMap<String, u64> {
        self.ports.iter().map(|(port, intake)| (port.clone(), intake.bytes)).collect()
    }

    /// Returns the first number at or after `from` that is neither delivered nor lost.
    pub fn first_pending(&self, delivered: &IntervalSet, mut from: u64) -> u64 {
        loop {
            let next = self.damaged.first_gap(self.evicted.first_gap(delivered.first_gap(from)));
            if next == from {
                return from;
            }
            from = next;
        }
    }

    /// Sorts the stored readings into classes. `sinks` are those that every reading has to reach.
    pub fn classes(&self, sinks: &[SinkState<'_>]) -> Classes {
        Classes::of(&self.evicted, &self.damaged, sinks)
    }

    /// Makes the whole account. `head` is the last number in the log, `uncommitted` counts the accepted
    /// readings that are not yet committed, and `sinks` are those that every reading has to reach.
    pub fn ledger(&self, head: u64, uncommitted: u64, sinks: &[SinkState<'_>]) -> Ledger {
        let classes = self.classes(sinks);
        // No set of refused readings holds the forgotten ones any more, so `classes` counts them as
        // delivered.
        let delivered = classes.delivered.count().saturating_sub(self.forgotten);
        let refused = classes.refused.count() + self.forgotten;
        let (evicted, damaged) = (classes.evicted.count(), classes.damaged.count());
        let quarantined = classes.quarantined.count();
        let gone = delivered + quarantined + evicted + damaged + refused;
        Ledger {
            intake: self.intake(),
            uncommitted,
            stored: head,
            delivered,
            pending: head.saturating_sub(gone),
            quarantined,
            evicted,
            damaged,
            refused,
        }
    }
}

/// The whole account at one moment, in readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub intake: Intake,
    /// Accepted and not yet committed readings.
    pub uncommitted: u64,
    pub stored: u64,
    pub delivered: u64,
    pub pending: u64,
    pub quarantined: u64,
    pub evicted: u64,
    pub damaged: u64,
    pub refused: u64,
}

impl Ledger {
    pub fn lost(&self, loss: Loss) -> u64 {
        match loss {
            Loss::Overflow => self.intake.overflow,
            Loss::Evicted => self.evicted,
            Loss::Damaged => self.damaged,
            Loss::Refused => self.refused,
        }
    }

    /// Returns the equations that do not hold, as text for people. A sound ledger has none.
    ///
    /// The equations hold under traffic too: a message to the log carries readings and their counts
    /// together, and it counts only whole frames.
    pub fn imbalances(&self) -> Vec<String> {
        let intake = &self.intake;
        let equations = [
            (
                "bytes = frame + fault + padding",
                intake.bytes,
                intake.frame_bytes + intake.fault_bytes + intake.padding_bytes,
            ),
            (
                "frames = accepted + control + decode faults",
                intake.frames,
                intake.accepted + intake.control + intake.faults.total(FaultStage::Decode),
            ),
            (
                "accepted = stored + uncommitted + overflow",
                intake.accepted,
                self.stored + self.uncommitted + intake.overflow,
            ),
            (
                "stored = delivered + pending + quarantined + lost",
                self.stored,
                self.delivered
                    + self.pending
                    + self.quarantined
                    + self.evicted
                    + self.damaged
                    + self.refused,
            ),
        ];
        let broken = equations.into_iter().filter(|(_, left, right)| left != right);
        broken.map(|(name, left, right)| format!("{name}: {left} is not {right}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use outstation_codec::Fault;

    use super::*;

    fn sound() -> Ledger {
        let mut intake = Intake {
            bytes: 100,
            frame_bytes: 90,
            fault_bytes: 8,
            padding_bytes: 2,
            ..Intake::default()
        };
        (intake.frames, intake.accepted, intake.control, intake.overflow) = (10, 8, 1, 2);
        intake.faults.add(Fault::Unparsable, 1);
        intake.faults.add(Fault::Cobs, 1);
        intake.faults.add(Fault::SequenceGap, 5);
        Ledger {
            intake,
            uncommitted: 1,
            stored: 5,
            delivered: 1,
            pending: 1,
            quarantined: 1,
            evicted: 1,
            damaged: 0,
            refused: 1,
        }
    }

    #[test]
    fn a_sound_ledger_balances_and_each_missing_unit_is_named() {
        assert_eq!(sound().imbalances(), Vec::<String>::new());
        type Step = fn(&mut Ledger);
        let steps: [(Step, &str); 4] = [
            (|ledger| ledger.intake.bytes += 1, "bytes = frame + fault + padding: 101 is not 100"),
            (
                |ledger| ledger.intake.frames += 1,
                "frames = accepted + control + decode faults: 11 is not 10",
            ),
            (
                |ledger| ledger.uncommitted += 1,
                "accepted = stored + uncommitted + overflow: 8 is not 9",
            ),
            (
                |ledger| ledger.pending += 1,
                "stored = delivered + pending + quarantined + lost: 5 is not 6",
            ),
        ];
        for (step, message) in steps {
            let mut ledger = sound();
            step(&mut ledger);
            assert_eq!(ledger.imbalances(), [message]);
        }
    }
}
