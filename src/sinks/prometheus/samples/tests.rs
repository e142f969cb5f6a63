//! Invariants checked: another implementation of protobuf and Snappy reads back the readings that were
//! encoded, in an order that Prometheus keeps.

use outstation_codec::{Anchor, Lane, Segment, Stamp, StoredSegment, ValueType};
use prost::Message;

use super::*;
use crate::test_kit::batches;

/// The messages of `prometheus/prompb/remote.proto` and `types.proto`, as far as version 1.0 has them.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn decoded(body: &[u8]) -> Vec<TimeSeries> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).expect("a Snappy block");
    WriteRequest::decode(plain.as_slice()).expect("a WriteRequest").timeseries
}

fn batch(kinds: &[ValueType], readings: &[(i64, &[Value])]) -> Batch {
    let names = ["c0", "c1", "c2", "c3"];
    let channels: Vec<_> = names.into_iter().zip(kinds.iter().copied()).collect();
    assert_eq!(channels.len(), kinds.len(), "there are names enough");
    let rows = readings.iter().map(|(time_ms, values)| (Stamp::unix(*time_ms), values.to_vec()));
    batches::batch(vec![batches::sensor("s", &channels)], vec![batches::segment(1, rows)])
}

fn samples(batch: &Batch) -> Samples {
    Samples::of(batch, &PrometheusConfig::default(), &IntervalSet::default()).expect("sound")
}

#[test]
fn an_independent_decoder_reads_every_sample_and_label_back() {
    let kinds = [ValueType::F64, ValueType::Int, ValueType::Bool, ValueType::F32];
    let rows: Vec<(i64, Vec<Value>)> = [i64::MIN, -1, 0, 1, 127, 128, 1_767_225_600_123, i64::MAX]
        .iter()
        .zip([0.0, -0.0, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, 0.1, 21.5])
        .map(|(time, value)| {
            let (whole, bit) = (Value::Int(time / 1_000_000), Value::Bool(*time > 0));
            (*time, vec![Value::F64(value), whole, bit, Value::F32(0.1)])
        })
        .collect();
    let readings: Vec<(i64, &[Value])> = rows.iter().map(|(t, v)| (*t, v.as_slice())).collect();
    let samples = samples(&batch(&kinds, &readings));
    assert_eq!((samples.sampled, samples.texts, samples.replaced), (8, 0, 0));
    let read = decoded(&samples.body());
    assert_eq!(read.len(), 4);
    for (number, series) in read.iter().enumerate() {
        let name = format!("c{number}");
        let labels: Vec<_> =
            series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
        let expected =
            [("__name__", name.as_str()), ("device", "d"), ("port", "p"), ("sensor", "s")];
        assert_eq!(labels, expected);
        let expected = rows.iter().map(|(time, values)| {
            let value = match &values[number] {
                Value::F64(value) => *value,
                Value::F32(value) => f64::from(*value),
                Value::Bool(value) => f64::from(u8::from(*value)),
                Value::Int(value) => value.to_string().parse().expect("a number"),
                Value::Text(_) => unreachable!("no text here"),
            };
            (*time, value.to_bits())
        });
        let found = series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn no_sensor_can_send_the_number_by_which_prometheus_ends_a_series() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    assert!(stale.is_nan());
    let samples = samples(&batch(&[ValueType::F64], &[(1, &[Value::F64(stale)])]));
    let read = decoded(&samples.body());
    assert_eq!(read[0].samples[0].value.to_bits(), NAN.to_bits());
}

#[test]
fn samples_go_by_time_and_of_one_millisecond_the_latest_goes() {
    let readings: [(i64, &[Value]); 5] = [
        (30, &[Value::Int(3)]),
        (10, &[Value::Int(1)]),
        (30, &[Value::Int(4)]),
        (20, &[Value::Int(2)]),
        (30, &[Value::Int(5)]),
    ];
    let samples = samples(&batch(&[ValueType::Int], &readings));
    let points: Vec<_> =
        samples.series[0].points.iter().map(|p| (p.time_ms, p.value, p.seq)).collect();
    assert_eq!(points, [(10, 1.0, 2), (20, 2.0, 4), (30, 5.0, 5)]);
    assert_eq!((samples.replaced, samples.sampled, samples.readings.count()), (2, 3, 5));
    assert!(samples.are_conclusive());
}

#[test]
fn text_is_left_out_and_counted_and_the_rest_of_its_reading_goes() {
    let text = Value::Text("ok".into());
    let readings: [(i64, &[Value]); 3] = [
        (1, &[text.clone(), Value::Bool(true)]),
        (2, std::slice::from_ref(&text)),
        (3, &[text.clone(), Value::Bool(false)]),
    ];
    let batch = batch(&[ValueType::Text, ValueType::Bool], &readings);
    let samples = samples(&batch);
    assert_eq!((samples.texts, samples.sampled, samples.series.len()), (3, 2, 1));
    assert!(!samples.is_whole(&batch));
}

#[test]
fn what_the_server_has_is_left_out_and_what_has_no_date_is_noticed() {
    let readings: [(i64, &[Value]); 3] =
        [(1, &[Value::Int(1)]), (2, &[Value::Int(2)]), (3, &[Value::Int(3)])];
    let mut batch = batch(&[ValueType::Int], &readings);
    let mut there = IntervalSet::default();
    there.insert(1, 2);
    let samples = Samples::of(&batch, &PrometheusConfig::default(), &there).expect("sound");
    assert_eq!((samples.there, samples.sampled, samples.undated), (2, 1, 0));
    assert_eq!(samples.readings.intervals(), [(3, 3)]);
    let mut segment = Segment::default();
    segment.push(0, Stamp::boot(5), [(0, Value::Int(1))].into_iter());
    batch.segments = vec![StoredSegment::sealed(1, 1, Lane::Live, 0, segment.encode())];
    let undated = |batch: &Batch| {
        Samples::of(batch, &PrometheusConfig::default(), &IntervalSet::default()).expect("sound")
    };
    assert_eq!(undated(&batch).undated, 1);
    batch.boots = vec![(0, Some(Anchor::new(1_767_225_600_000, 5)))];
    let dated = undated(&batch);
    assert_eq!((dated.undated, dated.times().collect::<Vec<_>>()), (0, vec![1_767_225_600_000]));
}

#[test]
fn a_reading_goes_back_if_an_earlier_one_has_a_later_time() {
    let times = [10, 20, 15, 30, 5, 31];
    let rows: Vec<(i64, [Value; 1])> = times.iter().map(|time| (*time, [Value::Int(1)])).collect();
    let readings: Vec<(i64, &[Value])> = rows.iter().map(|(t, v)| (*t, v.as_slice())).collect();
    let mut back = samples(&batch(&[ValueType::Int], &readings)).going_back();
    back.sort_unstable();
    assert_eq!(back, [3, 5]);
}
