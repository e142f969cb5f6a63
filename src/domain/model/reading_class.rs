//! The classes of the ledger: what became of every stored reading, given the state of each sink, as sets of
//! sequence numbers.
//!
//! For one sink, a reading is
//!
//! | word | meaning |
//! |---|---|
//! | had | delivered, or gone before a best-effort sink could have it |
//! | settled | had, or refused and not being offered again: nothing is left to do |
//! | missing | evicted or damaged before it was settled, and no copy is being offered again |
//!
//! For all sinks together, checked in this order: *delivered* readings are had by every sink; *lost* ones
//! (evicted, damaged) are missing for some sink; *quarantined* and *refused* ones are settled for all, and
//! a sink that refused them keeps a copy, or no sink does; the rest is *pending*.

use super::interval_set::{IntervalSet, NONE};
use super::quarantine::{NOTHING, Quarantine};

/// What one sink has and what it refused.
#[derive(Clone, Copy, Debug)]
pub struct SinkState<'a> {
    /// The readings that the sink has or has refused.
    pub readings: &'a IntervalSet,
    pub quarantine: &'a Quarantine,
}

/// A sink that has nothing; it stands in when no sink is configured.
static NOBODY: SinkState<'static> = SinkState { readings: &NONE, quarantine: &NOTHING };

impl SinkState<'_> {
    fn had(&self) -> IntervalSet {
        let Quarantine { skipped, .. } = self.quarantine;
        self.readings.union(skipped).difference(&self.quarantine.refused())
    }

    fn settled(&self) -> IntervalSet {
        let Quarantine { held, discarded, .. } = self.quarantine;
        self.had().union(held).union(discarded)
    }
}

/// The readings of each class. Readings in no class are pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    pub delivered: IntervalSet,
    pub evicted: IntervalSet,
    pub damaged: IntervalSet,
    pub quarantined: IntervalSet,
    pub refused: IntervalSet,
}

impl Classes {
    /// `sinks` are those that every reading has to reach.
    pub fn of(evicted: &IntervalSet, damaged: &IntervalSet, sinks: &[SinkState<'_>]) -> Self {
        let sinks = if sinks.is_empty() { std::slice::from_ref(&NOBODY) } else { sinks };
        let gone = evicted.union(damaged);
        let (mut delivered, mut settled) = (sinks[0].had(), sinks[0].settled());
        let (mut held, mut lost) = (IntervalSet::EMPTY, IntervalSet::EMPTY);
        for sink in sinks {
            delivered = delivered.intersection(&sink.had());
            let of_sink = sink.settled();
            let missing = gone.difference(&of_sink).difference(&sink.quarantine.replayed);
            lost = lost.union(&missing);
            held = held.union(&sink.quarantine.held);
            settled = settled.intersection(&of_sink);
        }
        // A reading that is settled for every sink is missing for none, so `refused` and `lost` do not
        // overlap.
        let refused = settled.difference(&delivered);
        Self {
            damaged: lost.intersection(damaged),
            evicted: lost.difference(damaged),
            quarantined: refused.intersection(&held),
            refused: refused.difference(&held),
            delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const HEAD: u64 = 40;

    type Plain = BTreeSet<u64>;

    fn set() -> impl Strategy<Value = IntervalSet> {
        prop::collection::vec((1..HEAD, 0u64..9), 0..6).prop_map(|intervals| {
            let run = |(first, length): (u64, u64)| (first, (first + length).min(HEAD));
            IntervalSet::of(&intervals.into_iter().map(run).collect::<Vec<_>>())
        })
    }

    /// Any quarantine in which each number is in one set at most.
    fn quarantine() -> impl Strategy<Value = Quarantine> {
        (set(), set(), set(), set()).prop_map(|(held, discarded, skipped, replayed)| {
            let discarded = discarded.difference(&held);
            let skipped = skipped.difference(&held).difference(&discarded);
            let taken = held.union(&discarded).union(&skipped);
            let replayed = replayed.difference(&taken);
            Quarantine { held, discarded, skipped, replayed, forgotten: 0 }
        })
    }

    fn plain(set: &IntervalSet) -> Plain {
        set.intervals().iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    /// The class of a single reading, by the definitions in words.
    fn class(
        seq: u64,
        evicted: &IntervalSet,
        damaged: &IntervalSet,
        sinks: &[(IntervalSet, Quarantine)],
    ) -> &'static str {
        let nobody = [(IntervalSet::EMPTY, Quarantine::default())];
        let sinks = if sinks.is_empty() { &nobody[..] } else { sinks };
        let is = |set: &IntervalSet| set.contains(seq);
        let refused = |of: &Quarantine| is(&of.held) || is(&of.discarded) || is(&of.replayed);
        let had = |(readings, of): &(IntervalSet, Quarantine)| {
            (is(readings) || is(&of.skipped)) && !refused(of)
        };
        let settled = |sink: &(IntervalSet, Quarantine)| {
            had(sink) || is(&sink.1.held) || is(&sink.1.discarded)
        };
        let missing = |sink: &(IntervalSet, Quarantine)| {
            (is(evicted) || is(damaged)) && !settled(sink) && !is(&sink.1.replayed)
        };
        if sinks.iter().all(had) {
            "delivered"
        } else if sinks.iter().any(missing) {
            if is(damaged) { "damaged" } else { "evicted" }
        } else if !sinks.iter().all(settled) {
            "pending"
        } else if sinks.iter().any(|(_, of)| is(&of.held)) {
            "quarantined"
        } else {
            "refused"
        }
    }

    proptest! {
        #[test]
        fn every_reading_is_in_the_class_that_plain_sets_put_it_in(
            evicted in set(),
            damaged in set(),
            sinks in prop::collection::vec((set(), quarantine()), 0..4),
        ) {
            let sink_states: Vec<SinkState<'_>> = sinks
                .iter()
                .map(|(readings, quarantine)| SinkState { readings, quarantine })
                .collect();
            let classes = Classes::of(&evicted, &damaged, &sink_states);
            let named = [
                ("delivered", &classes.delivered),
                ("evicted", &classes.evicted),
                ("damaged", &classes.damaged),
                ("quarantined", &classes.quarantined),
                ("refused", &classes.refused),
            ];
            for seq in 1..=HEAD {
                let expected = class(seq, &evicted, &damaged, &sinks);
                for (name, set) in named {
                    prop_assert_eq!(set.contains(seq), name == expected, "{} as {}", seq, name);
                }
            }
            let counted: usize = named.iter().map(|(_, set)| plain(set).len()).sum();
            let union: Plain = named.iter().flat_map(|(_, set)| plain(set)).collect();
            prop_assert_eq!(counted, union.len(), "nothing in two classes");
        }
    }
}
