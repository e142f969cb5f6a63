//! Tests of segments: readings come back unchanged, any bytes are survived, and encoded sizes stay within
//! their bounds.

use proptest::prelude::*;

use super::*;
use crate::body::VERSION;

type Reading = (u64, u32, Stamp, Vec<(u16, Value)>);

fn cells(segment: &Segment, first_seq: u64) -> Vec<Reading> {
    let mut all = Vec::new();
    segment.for_each(first_seq, |reading| {
        let cells = reading.cells.iter().map(|(channel, value)| (*channel, (*value).clone()));
        all.push((reading.seq, reading.sensor, reading.stamp, cells.collect()));
    });
    all
}

/// The readings with cells sorted by channel, because merging may change the order of a sensor's columns.
fn by_channel(segment: &Segment, first_seq: u64) -> Vec<Reading> {
    let mut all = cells(segment, first_seq);
    all.iter_mut().for_each(|reading| reading.3.sort_by_key(|(channel, _)| *channel));
    all
}

fn merged(parts: &[Segment]) -> Segment {
    let mut merged = Segment::default();
    assert!(parts.iter().all(|part| merged.append(part)), "a few readings always fit");
    merged
}

fn round_trip(segment: &mut Segment) -> usize {
    let body = segment.encode();
    let back = Segment::decode(&body, segment.len()).expect("decodes what was encoded");
    assert_eq!(cells(&back, 7), cells(segment, 7));
    body.len()
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![(-1000i64..1000).prop_map(Value::Int), any::<i64>().prop_map(Value::Int),]
}

fn float() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-100_000i32..100_000, 0i32..4).prop_map(|(m, s)| Value::F64(f64::from(m) / 10f64.powi(s))),
        any::<f64>().prop_filter("comparable", |f| !f.is_nan()).prop_map(Value::F64),
    ]
}

fn single() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-10_000i16..10_000).prop_map(|m| Value::F32(f32::from(m) / 100.0)),
        any::<f32>().prop_filter("comparable", |f| !f.is_nan()).prop_map(Value::F32),
    ]
}

/// Channel 0 is an int, 1 a double, 2 a float, 3 a bool, 4 a text, and 5 is of any type.
fn reading() -> impl Strategy<Value = (u32, bool, i64, Vec<(u16, Value)>)> {
    let cells = (
        proptest::option::of(number()),
        proptest::option::of(float()),
        proptest::option::of(single()),
        proptest::option::of(any::<bool>().prop_map(Value::Bool)),
        proptest::option::of("[a-zé]{0,6}".prop_map(|text| Value::Text(text.into()))),
        // The integers are beyond 2^53, so that they are not written as doubles beside others.
        proptest::option::of(prop_oneof![
            single(),
            any::<bool>().prop_map(Value::Bool),
            (i64::MAX - 99..i64::MAX).prop_map(Value::Int),
            "[a-z]{0,2}".prop_map(|text| Value::Text(text.into())),
        ]),
    )
        .prop_map(|(a, b, c, d, e, f)| {
            [a, b, c, d, e, f]
                .into_iter()
                .zip(0u16..)
                .filter_map(|(value, channel)| Some((channel, value?)))
                .collect()
        });
    (0u32..5, any::<bool>(), prop_oneof![0i64..10_000, any::<i64>()], cells)
}

fn segment(readings_max: usize) -> impl Strategy<Value = Segment> {
    prop::collection::vec(reading(), 1..readings_max).prop_map(|readings| {
        let mut segment = Segment::default();
        for (sensor, unix, ms, cells) in readings {
            let stamp = if unix { Stamp::unix(ms) } else { Stamp::boot(ms) };
            segment.push(sensor, stamp, cells.into_iter());
        }
        segment
    })
}

proptest! {
    #[test]
    fn any_readings_come_back(mut segment in segment(120)) {
        // Columns are in the order in which their channels were first seen, and a view lists cells in that
        // order.
        round_trip(&mut segment);
    }

    #[test]
    fn merging_changes_no_reading_and_no_number(
        parts in prop::collection::vec((segment(12), 1usize..4), 1..8),
        cut in 0usize..8,
    ) {
        let parts: Vec<Segment> =
            parts.into_iter().flat_map(|(part, times)| vec![part; times]).collect();
        let (mut expected, mut seq) = (Vec::new(), 7);
        for part in &parts {
            expected.extend(by_channel(part, seq));
            seq += part.len() as u64;
        }
        // Segments merged earlier are merged again, after they were stored in the log.
        let (early, late) = parts.split_at(cut.min(parts.len()));
        let mut early = merged(early);
        if !early.is_empty() {
            early = Segment::decode(&early.encode(), early.len()).expect("decodes");
        }
        let mut whole = merged(&[early, merged(late)]);
        prop_assert_eq!(&by_channel(&whole, 7), &expected);
        let body = whole.encode();
        let back = Segment::decode(&body, whole.len()).expect("decodes what was encoded");
        prop_assert_eq!(&by_channel(&back, 7), &expected);
        let mut sensors: Vec<u32> = expected.iter().map(|reading| reading.1).collect();
        sensors.sort_unstable();
        sensors.dedup();
        prop_assert_eq!(Segment::sensors(&body, whole.len()), Ok(sensors));
    }

    #[test]
    fn any_bytes_decode_or_fail_in_bounded_memory(
        mut body in prop::collection::vec(any::<u8>(), 0..300),
        count in 0usize..2000,
    ) {
        if let Some(first) = body.first_mut() {
            *first = VERSION;
        }
        if let Ok(segment) = Segment::decode(&body, count) {
            prop_assert_eq!(segment.len(), count);
        }
    }
}

/// Workload W1: values step by a normal deviate of 0.02 rounded to 0.01, times jitter by 1 ms.
struct W1 {
    rng: fastrand::Rng,
    values: [f64; 10],
    ms: i64,
}

impl W1 {
    fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { rng, values: [20.0; 10], ms: 1_700_000_000_000 }
    }

    fn segment(&mut self, ticks: usize, period_ms: i64) -> Segment {
        let mut segment = Segment::default();
        for _ in 0..ticks {
            for (sensor, value) in (0..).zip(&mut self.values) {
                let normal: f64 = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
                *value = ((*value + 0.02 * normal) * 100.0).round() / 100.0;
                let stamp = Stamp::unix(self.ms + self.rng.i64(-1..=1));
                segment.push(sensor, stamp, [(0, Value::F64(*value))].into_iter());
            }
            self.ms += period_ms;
        }
        segment
    }
}

#[test]
fn one_second_of_w1_takes_two_thirds_of_a_byte_a_reading() {
    let bytes = round_trip(&mut W1::new(1).segment(100, 10));
    assert!(bytes < 670, "{bytes} bytes for 1,000 readings");
}

#[test]
fn a_slow_second_is_small_and_a_merged_minute_takes_less_than_a_byte_a_reading() {
    let mut w1 = W1::new(3);
    let mut parts: Vec<Segment> = (0..3600).map(|_| w1.segment(1, 1000)).collect();
    let single: usize = parts.iter_mut().map(|part| part.encode().len()).sum();
    assert!(single < 4 * 36_000, "{single} bytes for 36,000 readings by the second");
    let minutes: usize = parts.chunks(60).map(|parts| round_trip(&mut merged(parts))).sum();
    assert!(minutes < 36_000 * 3 / 4, "{minutes} bytes for 36,000 readings by the minute");
}

#[test]
fn equal_groups_cost_next_to_nothing_to_name() {
    let plain = |tick: i64| {
        let mut segment = Segment::default();
        for sensor in 0..10 {
            segment.push(sensor, Stamp::boot(1000 * tick), std::iter::empty());
        }
        segment
    };
    let size = |ticks| merged(&(0..ticks).map(plain).collect::<Vec<_>>()).encode().len();
    assert!(size(600) <= size(60) + 30, "{} bytes beside {}", size(600), size(60));
}

#[test]
fn segments_of_one_sensor_merge_into_one_run() {
    let part = |ms| {
        let mut segment = Segment::default();
        segment.push(4, Stamp::boot(ms), [(0, Value::Int(ms))].into_iter());
        segment
    };
    assert_eq!(merged(&[part(1), part(2), part(3)]).turns().len(), 1);
}

#[test]
fn what_does_not_fit_is_not_appended() {
    let mut big = Segment::default();
    for ms in 0..=65_535 {
        big.push(0, Stamp::boot(ms), std::iter::empty());
    }
    let one = W1::new(1).segment(1, 10);
    let mut whole = one.clone();
    assert!(!whole.append(&big));
    assert_eq!(cells(&whole, 0), cells(&one, 0));

    let wide = |first: u16| {
        let mut segment = Segment::default();
        let cells = (first..first + 200).map(|channel| (channel, Value::Int(1)));
        segment.push(0, Stamp::boot(0), cells);
        segment
    };
    assert!(!wide(0).append(&wide(100)));
    assert!(wide(0).append(&wide(50)));
}

#[test]
fn a_cleared_segment_is_as_good_as_new() {
    let mut segment = merged(&[W1::new(2).segment(10, 10), W1::new(2).segment(5, 10)]);
    segment.clear();
    assert!(segment.is_empty());
    segment.push(3, Stamp::boot(5), [(1, Value::Int(-4))].into_iter());
    round_trip(&mut segment);
}

#[test]
fn extremes_survive() {
    let mut segment = Segment::default();
    for (ms, value) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, 0), (i64::MAX, -1)] {
        segment.push(u32::MAX, Stamp::boot(ms), [(u16::MAX, Value::Int(value))].into_iter());
    }
    round_trip(&mut segment);
    for float in [f64::MIN, f64::MAX, -0.0, f64::INFINITY, 0.1, 1e300] {
        segment.push(0, Stamp::unix(0), [(0, Value::F64(float))].into_iter());
    }
    round_trip(&mut segment);
}

#[test]
fn integers_among_floats_stay_integers_and_cost_little() {
    let column = |whole: fn(i64) -> Value| {
        let mut segment = Segment::default();
        for tick in 0..200 {
            let tenths = 200 + tick * 7 % 13;
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let float = Value::F64(tenths as f64 / 10.0);
            let value = if tenths % 10 == 0 { whole(tenths / 10) } else { float };
            segment.push(0, Stamp::boot(tick), [(0, value)].into_iter());
        }
        round_trip(&mut segment)
    };
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let floats = column(|int| Value::F64(int as f64));
    assert!(column(Value::Int) <= floats + 4);
}

#[test]
fn one_odd_value_does_not_change_its_neighbours() {
    let odd = [
        Value::F64(230.1),
        Value::Text("21.5C".into()),
        Value::Bool(true),
        Value::Int(3),
        Value::Int(9_007_199_254_740_993),
        Value::F64(1.5),
        Value::F32(21.37),
    ];
    let mut segment = Segment::default();
    for (ms, value) in (0..).zip(&odd) {
        segment.push(0, Stamp::boot(ms), [(0, value.clone())].into_iter());
    }
    let back = Segment::decode(&segment.encode(), odd.len()).expect("decodes");
    let values: Vec<_> =
        cells(&back, 0).into_iter().map(|(.., cells)| cells[0].1.clone()).collect();
    assert_eq!(values, odd);
}

/// The encoded form of [`every_column`].
const GOLDEN: &str = "\
    016f87790ffff62f7e0ecef6126da5c045a2d63936ccc6fef5920bf97741499ce47155701033e8bd\
    86665c7753b25123e50f623567f92f1a551c09aa092701f8cdd40fe28702fa5e73004ce2bce402d6\
    f693b71d4b8adb489094fffffffffff68ffffffffffb3fab1fffffd3b34dffffff1ccfa79041a35f\
    41b46df7d84547bdfbba4bef0f15aac3e750b8a5b9467e0e330044975ec3002a905d4eec4dd2ea92\
    9c828303f3729732d83b2e4858e49f2897fffed6a6a9256241bbc5b180430f8cf2fe77c83c90a3b5\
    336df60c630646f5b469d999ad052c0000000000000007e2e145178b394e1b91de0419734be7f48d\
    1caf7a39fcff135085a2df596af4e13ddb2b774478c906f755f704145bca13a4f99d771de6ec34a5\
    52813a2d0e75078dd81b62371c562dc1c9acd1c2b76b63ec599b12b9ccedc826667d7acdbfcf84df\
    7fed61a3194d4456570c0b9720f2d897de1ce8d64e8498343d486a4c20feee102df1a0\
";

/// A segment with all kinds of columns and all rules of forecast.
fn every_column() -> Segment {
    let mut segment = Segment::default();
    let mut state = 1u32;
    let mut noise = |width: u16| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % u32::from(width)
    };
    let mut level = 2100.0;
    for tick in 0..40 {
        level += f64::from(noise(5)) - 2.0;
        let mut noise = |width| i64::from(noise(width));
        let shown = [
            (0, Value::F64(level / 100.0)),
            (1, Value::Int(if tick == 20 { i64::MIN } else { noise(1000) })),
            (2, Value::Int(7 * tick)),
            (
                3,
                Value::Text(
                    ["ok", "é", "ok", "low"][usize::try_from(noise(4)).unwrap_or(0)].into(),
                ),
            ),
            (4, Value::Bool(tick > 30)),
        ];
        let shown = shown.into_iter().filter(|(channel, _)| *channel != 3 || tick % 4 != 0);
        segment.push(3, Stamp::unix(1_760_000_000_000 + 1000 * tick + noise(7)), shown);
    }
    for tick in 0..12u16 {
        let int = Value::Int(i64::from(tick));
        let odd = [Value::F32(21.5), Value::Text("-".into()), int, Value::F64(0.5)];
        #[expect(clippy::cast_possible_truncation, reason = "below 300")]
        let shown = [
            (9, Value::F32(f32::from(noise(300) as u16) / 10.0)),
            (0, Value::F64(f64::from(tick).sqrt())),
            (1, Value::F32(f32::from(tick).sqrt())),
            (2, odd[noise(4) as usize].clone()),
        ];
        segment.push(70_000, Stamp::boot(50 * i64::from(tick)), shown.into_iter());
    }
    segment.push(70_000, Stamp::unix(-5), [].into_iter());
    segment
}

#[test]
fn a_body_of_this_version_is_written_and_read_as_it_was_first() {
    let digits = GOLDEN.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex"));
    let body: Vec<u8> =
        digits.map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    let mut expected = every_column();
    let back = Segment::decode(&body, expected.len()).expect("decodes");
    assert_eq!(cells(&back, 1), cells(&expected, 1));
    assert_eq!(Segment::sensors(&body, expected.len()), Ok(vec![3, 70_000]));
    assert_eq!(expected.encode(), body);
}

#[test]
fn a_newer_version_is_named() {
    assert_eq!(Segment::decode(&[9, 0], 1).unwrap_err(), SegmentError::Version(9));
    assert_eq!(Segment::decode(&[0, 0], 1).unwrap_err(), SegmentError::Version(0));
    assert_eq!(Segment::decode(&[], 1).unwrap_err(), SegmentError::Empty);
    assert_eq!(Segment::decode(&[VERSION], 1).unwrap_err(), SegmentError::Malformed);
}
