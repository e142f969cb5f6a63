//! The quarantine: readings that a sink refused for good, and what an operator can have done with them.

use serde::{Deserialize, Serialize};

use super::interval_set::IntervalSet;

/// The aggregate of a `quarantine/<sink>` stream. A sequence number is in one of the sets at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Refused readings that are kept aside with the server's reason.
    pub held: IntervalSet,
    /// Refused readings that are no longer kept.
    pub discarded: IntervalSet,
    /// Readings that left the log before a best-effort sink had them.
    pub skipped: IntervalSet,
    /// Refused readings that are still kept and are being offered again.
    pub replayed: IntervalSet,
    /// How many discarded readings are so old that their numbers are no longer recorded.
    pub forgotten: u64,
}

/// The quarantine of a sink that never refused anything.
pub static NOTHING: Quarantine = Quarantine {
    held: IntervalSet::EMPTY,
    discarded: IntervalSet::EMPTY,
    skipped: IntervalSet::EMPTY,
    replayed: IntervalSet::EMPTY,
    forgotten: 0,
};

impl Quarantine {
    pub fn refuse(&mut self, first: u64, last: u64) {
        self.clear(first, last);
        self.held.insert(first, last);
    }

    pub fn replay(&mut self, first: u64, last: u64) {
        for (first, last) in self.held.within(first, last) {
            self.held.remove(first, last);
            self.replayed.insert(first, last);
        }
    }

    pub fn discard(&mut self, first: u64, last: u64) {
        self.clear(first, last);
        self.discarded.insert(first, last);
    }

    /// Records that the sink has accepted readings that were offered again. Some may have been discarded
    /// while they were on their way.
    pub fn deliver(&mut self, first: u64, last: u64) {
        self.replayed.remove(first, last);
        self.discarded.remove(first, last);
    }

    /// Replaces the numbers of discarded readings in this range by a count.
    pub fn forget(&mut self, first: u64, last: u64) {
        self.forgotten += self.discarded.remove(first, last);
    }

    fn clear(&mut self, first: u64, last: u64) {
        for set in [&mut self.held, &mut self.discarded, &mut self.skipped, &mut self.replayed] {
            set.remove(first, last);
        }
    }

    /// The readings of which a copy is kept.
    pub fn kept(&self) -> IntervalSet {
        self.held.union(&self.replayed)
    }

    /// Returns the `count` kept readings that are to be discarded first, as intervals: the oldest, and
    /// those that are being offered again only after all others.
    pub fn giving_way(&self, count: u64) -> Vec<(u64, u64)> {
        let of_replayed = count.saturating_sub(self.held.count());
        [self.held.lowest(count), self.replayed.lowest(of_replayed)].concat()
    }

    /// The readings that were refused and not accepted since.
    pub fn refused(&self) -> IntervalSet {
        self.kept().union(&self.discarded)
    }
}

/// What an operator wants done with readings in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuarantineCommand {
    /// Offer them to their sink again.
    Replay,
    /// Discard them.
    Drop,
}

/// An operator's order: a command, and the readings it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineOrder {
    pub command: QuarantineCommand,
    /// The sink that refused the readings; `None` means every sink.
    pub sink: Option<String>,
    /// First and last sequence numbers; `None` means all readings.
    pub numbers: Option<Vec<(u64, u64)>>,
}

impl QuarantineOrder {
    /// Returns those readings of `kept` that the order applies to, as intervals.
    pub fn selects(&self, sink: &str, kept: &IntervalSet) -> Vec<(u64, u64)> {
        if self.sink.as_ref().is_some_and(|wanted| wanted != sink) {
            return Vec::new();
        }
        match &self.numbers {
            None => kept.intervals().to_vec(),
            Some(ranges) => {
                let wanted = IntervalSet::of(ranges);
                kept.intersection(&wanted).intervals().to_vec()
            }
        }
    }
}

/// The result of an order for one sink: how many readings it was carried out on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub sink: String,
    pub readings: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(set: &IntervalSet) -> BTreeSet<u64> {
        set.intervals().iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    proptest! {
        #[test]
        fn a_number_is_in_one_place_and_none_disappears_but_by_delivery(
            steps in prop::collection::vec((0u8..5, 1u64..60, 0u64..12), 0..60),
        ) {
            let mut quarantine = Quarantine::default();
            let mut places = [(); 3].map(|()| BTreeSet::<u64>::new());
            let mut forgotten = 0;
            for (step, first, length) in steps {
                let last = first + length;
                let [held, discarded, replayed] = &mut places;
                match step {
                    0 => {
                        quarantine.refuse(first, last);
                        for seq in first..=last {
                            held.insert(seq);
                            discarded.remove(&seq);
                            replayed.remove(&seq);
                        }
                    }
                    1 => {
                        quarantine.replay(first, last);
                        for seq in first..=last {
                            if held.remove(&seq) {
                                replayed.insert(seq);
                            }
                        }
                    }
                    2 => {
                        quarantine.discard(first, last);
                        for seq in first..=last {
                            held.remove(&seq);
                            replayed.remove(&seq);
                            discarded.insert(seq);
                        }
                    }
                    3 => {
                        quarantine.deliver(first, last);
                        replayed.retain(|seq| !(first..=last).contains(seq));
                        discarded.retain(|seq| !(first..=last).contains(seq));
                    }
                    _ => {
                        quarantine.forget(first, last);
                        forgotten += (first..=last).filter(|seq| discarded.remove(seq)).count() as u64;
                    }
                }
                prop_assert_eq!(&numbers(&quarantine.held), &places[0]);
                prop_assert_eq!(&numbers(&quarantine.discarded), &places[1]);
                prop_assert_eq!(&numbers(&quarantine.replayed), &places[2]);
                prop_assert_eq!(quarantine.forgotten, forgotten);
                let [held, _, replayed] = &places;
                let order: Vec<u64> = held.iter().chain(replayed).copied().collect();
                let giving_way = quarantine.giving_way(length);
                let giving_way: Vec<u64> = giving_way.iter().flat_map(|(first, last)| *first..=*last).collect();
                let count = usize::try_from(length).expect("small").min(order.len());
                prop_assert_eq!(giving_way, order[..count].to_vec());
            }
        }
    }

    #[test]
    fn an_order_is_about_what_is_there_of_what_it_names() {
        let kept = IntervalSet::of(&[(5, 9), (20, 20)]);
        let order = |sink: Option<&str>, numbers| QuarantineOrder {
            command: QuarantineCommand::Drop,
            sink: sink.map(str::to_owned),
            numbers,
        };
        assert_eq!(order(None, None).selects("a", &kept), [(5, 9), (20, 20)]);
        assert_eq!(order(Some("b"), None).selects("a", &kept), []);
        let some = order(Some("a"), Some(vec![(8, 30), (1, 6)]));
        assert_eq!(some.selects("a", &kept), [(5, 6), (8, 9), (20, 20)]);
    }
}
