//! Sets of sequence numbers, kept as few intervals, and what one sink has acknowledged.
//!
//! All lanes share one range of sequence numbers, so one set per sink is enough. While lanes overtake each
//! other the set has a few intervals, and when everything is delivered it has one.

use serde::{Deserialize, Serialize};

/// The aggregate of a `delivery/<sink>` stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The readings that the sink has or has refused.
    pub readings: IntervalSet,
    /// The position of the last published event that the sink has.
    pub events: u64,
}

/// Sequence numbers as disjoint, ascending, non-adjacent closed intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalSet(Vec<(u64, u64)>);

/// The empty set, for places that need a reference.
pub static NONE: IntervalSet = IntervalSet::EMPTY;

impl IntervalSet {
    pub const EMPTY: Self = Self(Vec::new());

    /// Makes a set of intervals given in any order. An interval whose first number is above its last is
    /// ignored.
    pub fn of(intervals: &[(u64, u64)]) -> Self {
        let mut sorted: Vec<(u64, u64)> =
            intervals.iter().copied().filter(|(first, last)| first <= last).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Adds `first..=last` and returns how many numbers were new.
    pub fn insert(&mut self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "an interval runs forward");
        // Everything that overlaps or touches the new interval becomes part of it.
        let from = self.0.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.0.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let touched = &self.0[from..to];
        let before: u64 = touched.iter().map(|(start, end)| end - start + 1).sum();
        let merged = (
            touched.first().map_or(first, |(start, _)| first.min(*start)),
            touched.last().map_or(last, |(_, end)| last.max(*end)),
        );
        self.0.splice(from..to, [merged]);
        merged.1 - merged.0 + 1 - before
    }

    /// Removes `first..=last` and returns how many numbers were in the set.
    pub fn remove(&mut self, first: u64, last: u64) -> u64 {
        let from = self.0.partition_point(|(_, end)| *end < first);
        let to = self.0.partition_point(|(start, _)| *start <= last);
        let Some(touched) = self.0.get(from..to).filter(|touched| !touched.is_empty()) else {
            return 0;
        };
        let (start, end) = (touched[0].0, touched[touched.len() - 1].1);
        let before: u64 = touched.iter().map(|(start, end)| end - start + 1).sum();
        let left = (start < first).then(|| (start, first - 1));
        let right = (end > last).then(|| (last + 1, end));
        let rest: Vec<(u64, u64)> = left.into_iter().chain(right).collect();
        let after: u64 = rest.iter().map(|(start, end)| end - start + 1).sum();
        self.0.splice(from..to, rest);
        before - after
    }

    pub fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < seq);
        self.0.get(at).is_some_and(|(start, _)| *start <= seq)
    }

    /// Returns the first number at or after `from` that is not in the set.
    pub fn first_gap(&self, from: u64) -> u64 {
        let at = self.0.partition_point(|(_, end)| *end < from);
        match self.0.get(at) {
            Some((start, end)) if *start <= from => end + 1,
            _ => from,
        }
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start + 1).sum()
    }

    /// Counts the numbers that lie in `first..=last`.
    pub fn count_within(&self, first: u64, last: u64) -> u64 {
        let overlap =
            |(start, end): &(u64, u64)| (last.min(*end) + 1).saturating_sub(first.max(*start));
        self.0.iter().map(overlap).sum()
    }

    /// Returns the numbers that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        if other.0.is_empty() {
            return self.clone();
        }
        Self::of(&[self.0.as_slice(), &other.0].concat())
    }

    /// Returns the numbers of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.iter().flat_map(|(first, last)| other.missing(*first, *last)).collect())
    }

    /// Returns the numbers of the set that lie in `first..=last`, as intervals.
    pub fn within(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        if first > last {
            return Vec::new();
        }
        let from = self.0.partition_point(|(_, end)| *end < first);
        let overlap = self.0[from..].iter().take_while(|(start, _)| *start <= last);
        overlap.map(|(start, end)| (first.max(*start), last.min(*end))).collect()
    }

    /// Returns the `count` lowest numbers, as intervals.
    pub fn lowest(&self, mut count: u64) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        for (first, last) in &self.0 {
            if count == 0 {
                break;
            }
            let end = (*last).min(first.saturating_add(count - 1));
            count -= end - first + 1;
            taken.push((*first, end));
        }
        taken
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the numbers that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(&&a), Some(&&b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            if a.1 < b.1 {
                left.next()
            } else {
                right.next()
            };
        }
        Self(common)
    }

    /// Returns the numbers of `first..=last` that are not in the set, as intervals.
    pub fn missing(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let (mut missing, mut from) = (Vec::new(), first);
        while from <= last {
            let gap = self.first_gap(from);
            if gap > last {
                break;
            }
            let at = self.0.partition_point(|(_, end)| *end < gap);
            let end = self.0.get(at).map_or(last, |(start, _)| last.min(start - 1));
            missing.push((gap, end));
            from = end + 1;
        }
        missing
    }

    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, end)| *end)
    }

    pub fn intervals(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Returns the gaps between the first and the last interval.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.windows(2).map(|pair| (pair[0].1 + 1, pair[1].0 - 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_plain_set(
            inserts in prop::collection::vec((1u64..200, 0u64..20), 0..60),
        ) {
            let (mut set, mut plain) = (IntervalSet::default(), BTreeSet::new());
            for (first, length) in inserts {
                let new = (first..=first + length).filter(|seq| plain.insert(*seq)).count();
                prop_assert_eq!(set.insert(first, first + length), new as u64);
                prop_assert_eq!(set.count(), plain.len() as u64);
                prop_assert_eq!(set.count_within(50, 99), plain.range(50..=99).count() as u64);
                let ordered = set.intervals().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                prop_assert!(ordered, "coalesced: {:?}", set);
            }
            let gone = (60..=80).filter(|seq| plain.remove(seq)).count();
            prop_assert_eq!(set.remove(60, 80), gone as u64);
            for seq in 0..230 {
                prop_assert_eq!(set.contains(seq), plain.contains(&seq));
                let gap = (seq..).find(|at| !plain.contains(at));
                prop_assert_eq!(Some(set.first_gap(seq)), gap);
                let missing: Vec<u64> =
                    set.missing(seq, 150).into_iter().flat_map(|(first, last)| first..=last).collect();
                let expected: Vec<u64> = (seq..=150).filter(|at| !plain.contains(at)).collect();
                prop_assert_eq!(missing, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn an_intersection_holds_what_both_hold(
            left in prop::collection::vec((1u64..100, 0u64..9), 0..20),
            right in prop::collection::vec((1u64..100, 0u64..9), 0..20),
        ) {
            let set = |inserts: &[(u64, u64)]| {
                let mut set = IntervalSet::default();
                for (first, length) in inserts {
                    set.insert(*first, first + length);
                }
                set
            };
            let (left, right) = (set(&left), set(&right));
            let (both, either) = (left.intersection(&right), left.union(&right));
            for seq in 0..120 {
                prop_assert_eq!(both.contains(seq), left.contains(seq) && right.contains(seq));
                prop_assert_eq!(either.contains(seq), left.contains(seq) || right.contains(seq));
                let only = left.contains(seq) && !right.contains(seq);
                prop_assert_eq!(left.difference(&right).contains(seq), only);
            }
            for set in [&both, &either, &left.difference(&right)] {
                let ordered = set.intervals().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                prop_assert!(ordered, "coalesced: {:?}", set);
            }
            let numbers: Vec<u64> = (0..120).filter(|seq| left.contains(*seq)).collect();
            let flat = |intervals: Vec<(u64, u64)>| -> Vec<u64> {
                intervals.into_iter().flat_map(|(first, last)| first..=last).collect()
            };
            let within: Vec<u64> =
                numbers.iter().copied().filter(|seq| (20..=70).contains(seq)).collect();
            prop_assert_eq!(flat(left.within(20, 70)), within);
            prop_assert_eq!(flat(left.within(70, 20)), Vec::<u64>::new());
            for count in [0, 1, 7, 1000] {
                let lowest = flat(left.lowest(count));
                let most = usize::try_from(count).expect("small").min(numbers.len());
                prop_assert_eq!(lowest, numbers[..most].to_vec());
            }
        }
    }

    #[test]
    fn gaps_lie_between_intervals() {
        let mut set = IntervalSet::default();
        set.insert(1, 3);
        set.insert(7, 9);
        assert_eq!(set.gaps().collect::<Vec<_>>(), [(4, 6)]);
    }
}
