//! Segments: what goes in comes out, any bytes are survived, and the sizes that were promised.

use proptest::prelude::*;

use super::*;

type Reading = (u64, u32, Stamp, Vec<(u16, Value)>);

fn cells(segment: &Segment, first_seq: u64) -> Vec<Reading> {
    let mut all = Vec::new();
    segment.for_each(first_seq, |reading| {
        let cells = reading.cells.iter().map(|(channel, value)| (*channel, (*value).clone()));
        all.push((reading.seq, reading.sensor, reading.stamp, cells.collect()));
    });
    all
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

/// Channel 0 is an int, 1 a float, 2 a single, 3 a bool, 4 a text, and 5 is anything.
fn reading() -> impl Strategy<Value = (u32, bool, i64, Vec<(u16, Value)>)> {
    let cells = (
        proptest::option::of(number()),
        proptest::option::of(float()),
        proptest::option::of(single()),
        proptest::option::of(any::<bool>().prop_map(Value::Bool)),
        proptest::option::of("[a-zé]{0,6}".prop_map(|text| Value::Text(text.into()))),
        // Integers beyond 2^53, so that they do not become floats beside some.
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

proptest! {
    #[test]
    fn any_readings_come_back(readings in prop::collection::vec(reading(), 1..120)) {
        let mut segment = Segment::default();
        for (sensor, unix, ms, cells) in readings {
            let stamp = if unix { Stamp::unix(ms) } else { Stamp::boot(ms) };
            segment.push(sensor, stamp, cells.into_iter());
        }
        // Columns appear in the order of first sight; a view lists cells in that order.
        round_trip(&mut segment);
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
fn w1(segment: &mut Segment, readings_per_sensor: usize, rng: &mut fastrand::Rng) {
    for sensor in 0..10 {
        let mut value = 20.0f64;
        for tick in 0..readings_per_sensor {
            let normal: f64 = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            value = ((value + 0.02 * normal) * 100.0).round() / 100.0;
            let ms = 1_700_000_000_000 + 10 * signed(tick) + rng.i64(-1..=1);
            segment.push(sensor, Stamp::unix(ms), [(0, Value::F64(value))].into_iter());
        }
    }
}

#[test]
fn one_second_of_w1_takes_less_than_a_byte_a_reading() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut segment = Segment::default();
    w1(&mut segment, 100, &mut rng);
    let bytes = round_trip(&mut segment);
    assert!(bytes < 1_000, "{bytes} bytes for 1,000 readings");
}

#[test]
fn a_cleared_segment_is_as_good_as_new() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut segment = Segment::default();
    w1(&mut segment, 10, &mut rng);
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
fn integers_among_floats_become_floats_while_they_stay_the_same_number() {
    let mut segment = Segment::default();
    segment.push(0, Stamp::boot(0), [(0, Value::Int(20))].into_iter());
    segment.push(0, Stamp::boot(1), [(0, Value::F64(20.5))].into_iter());
    let back = Segment::decode(&segment.encode(), 2).expect("decodes");
    assert_eq!(cells(&back, 0)[0].3, [(0, Value::F64(20.0))]);
    assert_eq!(cells(&back, 0)[1].3, [(0, Value::F64(20.5))]);
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

#[test]
fn a_newer_version_is_named() {
    assert_eq!(Segment::decode(&[9, 0], 1).unwrap_err(), SegmentError::Version(9));
    assert_eq!(Segment::decode(&[], 1).unwrap_err(), SegmentError::Empty);
    assert_eq!(Segment::decode(&[VERSION], 1).unwrap_err(), SegmentError::Malformed);
}
