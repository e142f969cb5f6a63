//! Isolation with real segments and a server that refuses each batch that holds a bad reading.

use std::collections::BTreeSet;

use outstation_codec::{Stamp, Value};
use proptest::prelude::*;

use super::*;
use crate::test_kit::batches;

/// Segments with these counts of readings, numbered from 1 on. The value of each reading is its number.
fn batch(counts: &[u32], events: u64) -> Batch {
    let mut next = 1;
    let segments = counts.iter().map(|count| {
        let first = next;
        next += u64::from(*count);
        // There are two sensors, so that a segment has more than one section.
        let row = |row: u32| {
            let number = i64::try_from(first + u64::from(row)).expect("small");
            (u32::from(row >= count / 3), Stamp::boot(i64::from(row)), vec![Value::Int(number)])
        };
        batches::segment_of(first, (0..*count).map(row))
    });
    let segments = segments.collect();
    let sensors = ["a", "b"].map(batches::thermometer).to_vec();
    Batch { events: batches::events(events), ..batches::batch(sensors, segments) }
}

/// The numbers of a batch's readings, each checked against its value.
fn numbers(batch: &Batch) -> Vec<u64> {
    let mut numbers = Vec::new();
    batch
        .for_each(|dated| {
            let [(0, Value::Int(value))] = dated.reading.cells else { panic!("{dated:?}") };
            assert_eq!(u64::try_from(*value), Ok(dated.reading.seq), "cut at the right place");
            numbers.push(dated.reading.seq);
        })
        .expect("sound");
    numbers
}

/// What was sent to a server that refuses some readings and events, and what it accepted.
#[derive(Default)]
struct Outcome {
    requests: usize,
    taken: Vec<u64>,
    published: Vec<u64>,
    quarantined: Vec<u64>,
    given_up: Vec<u64>,
}

fn isolate(batch: Batch, bad: &BTreeSet<u64>, bad_events: &BTreeSet<u64>) -> Outcome {
    let (mut outcome, mut parts) = (Outcome::default(), vec![batch]);
    while let Some(part) = parts.pop() {
        outcome.requests += 1;
        let numbers = numbers(&part);
        let events: Vec<u64> = part.events.iter().map(|event| event.position).collect();
        if numbers.iter().any(|seq| bad.contains(seq))
            || events.iter().any(|at| bad_events.contains(at))
        {
            match divide(part) {
                Divided::Halves(left, right) => parts.extend([right, left]),
                Divided::Readings(segment) => {
                    assert_eq!(segment.count, 1);
                    outcome.quarantined.push(segment.first_seq);
                }
                Divided::Event(event) => outcome.given_up.push(event.position),
                Divided::Nothing => panic!("there was something in it"),
            }
        } else {
            outcome.taken.extend(numbers);
            outcome.published.extend(events);
        }
    }
    outcome
}

#[test]
fn one_bad_reading_is_found_in_about_two_requests_a_halving() {
    let bad = BTreeSet::from([777]);
    let outcome = isolate(batch(&[64; 64], 0), &bad, &BTreeSet::new());
    assert_eq!(outcome.quarantined, [777]);
    assert_eq!(outcome.taken.len(), 64 * 64 - 1);
    // 2·k·log₂ n requests, and the first one.
    assert_eq!(outcome.requests, 2 * 12 + 1);
}

#[test]
fn a_single_large_segment_is_divided_by_readings() {
    let outcome = isolate(batch(&[4096], 0), &BTreeSet::from([1, 4096]), &BTreeSet::new());
    assert_eq!(outcome.quarantined, [1, 4096]);
    assert!(outcome.requests <= 2 * 2 * 12 + 1, "{}", outcome.requests);
}

#[test]
fn readings_do_not_wait_behind_an_event() {
    let outcome = isolate(batch(&[10, 10], 8), &BTreeSet::new(), &BTreeSet::from([3]));
    assert_eq!((outcome.taken.len(), outcome.given_up), (20, vec![3]));
    assert_eq!(outcome.published, [1, 2, 4, 5, 6, 7, 8]);
    let Divided::Halves(first, second) = divide(batch(&[10, 10], 8)) else { panic!("halves") };
    assert_eq!((first.readings(), first.events.len()), (20, 0));
    assert_eq!((second.readings(), second.events.len()), (0, 8));
}

#[test]
fn a_damaged_segment_is_put_aside_whole_and_nothing_waits_behind_it() {
    let mut damaged = batch(&[10, 10, 10], 0);
    damaged.segments[1].body.truncate(3);
    let mut parts = vec![damaged];
    let (mut aside, mut alone) = (Vec::new(), Vec::new());
    while let Some(part) = parts.pop() {
        if part.segments.iter().all(StoredSegment::is_sound) {
            alone.extend(part.ranges());
            continue;
        }
        match divide(part) {
            Divided::Halves(left, right) => parts.extend([right, left]),
            Divided::Readings(segment) => aside.push((segment.first_seq, segment.count)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((aside, alone), (vec![(11, 10)], vec![(1, 10), (21, 30)]));
    assert_eq!(divide(batch(&[], 0)), Divided::Nothing);
}

#[test]
fn what_does_not_fit_is_cut_at_the_reading() {
    let (front, rest) = take(batch(&[10, 10, 10], 2), 15);
    let rest = rest.expect("half of it");
    assert_eq!((numbers(&front), front.events.len()), ((1..=15).collect(), 2));
    assert_eq!((numbers(&rest), rest.events.len()), ((16..=30).collect(), 0));
    for (readings, first) in [(0, 1), (1, 1), (20, 20), (29, 29)] {
        let (front, rest) = take(batch(&[10, 10, 10], 0), readings);
        assert_eq!((front.readings(), rest.map(|rest| rest.readings())), (first, Some(30 - first)));
    }
    for readings in [30, u64::MAX] {
        assert_eq!(take(batch(&[10, 10, 10], 1), readings), (batch(&[10, 10, 10], 1), None));
    }
    assert_eq!(take(batch(&[], 3), 1), (batch(&[], 3), None));
}

#[test]
fn a_sample_is_one_reading_of_the_batch_and_any() {
    let (all, mut rng) = (batch(&[3, 5], 1), fastrand::Rng::with_seed(1));
    let seen: BTreeSet<u64> = (0..200)
        .flat_map(|_| {
            let one = sample(&all, &mut rng).expect("it has readings");
            assert_eq!((one.readings(), one.events.len()), (1, 0));
            numbers(&one)
        })
        .collect();
    assert_eq!(seen, (1..=8).collect());
    assert_eq!(sample(&batch(&[], 1), &mut rng), None);
}

proptest! {
    #[test]
    fn exactly_the_bad_ones_are_refused_and_everything_else_arrives_in_order(
        counts in prop::collection::vec(1u32..80, 1..12),
        bad in prop::collection::btree_set(1u64..400, 0..8),
    ) {
        let total = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let bad: BTreeSet<u64> = bad.into_iter().filter(|seq| *seq <= total).collect();
        let outcome = isolate(batch(&counts, 0), &bad, &BTreeSet::new());
        let expected: Vec<u64> = (1..=total).filter(|seq| !bad.contains(seq)).collect();
        prop_assert_eq!(outcome.taken, expected);
        prop_assert_eq!(&outcome.quarantined, &bad.iter().copied().collect::<Vec<_>>());
        // Halving by segments is uneven when their sizes are, which adds at most one level for each kind.
        let levels = (u64::BITS - total.leading_zeros() + 2 + 4) as usize;
        prop_assert!(outcome.requests <= 1 + 2 * bad.len() * levels, "{} for {}", outcome.requests, bad.len());
    }
}
