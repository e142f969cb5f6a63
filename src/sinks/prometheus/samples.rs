//! Converts a batch to samples by series, and writes the body of a remote-write request.
//!
//! ```text
//! body         = snappy block of WriteRequest
//! WriteRequest = { 1: TimeSeries … }      TimeSeries = { 1: Label … , 2: Sample … }
//! Label        = { 1: name, 2: value }    Sample     = { 1: value (double), 2: Unix ms (int64) }
//! ```
//!
//! These are four messages of scalars, so a few lines replace a protobuf library, and labels are encoded
//! once per series.

use std::collections::BTreeMap;

use outstation_codec::{Batch, SegmentError, Value};

use super::config::PrometheusConfig;
use super::labels::{self, Labels};
use crate::domain::model::interval_set::IntervalSet;

/// The NaN that Prometheus uses for "not a number". Another NaN marks the end of a series.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) time_ms: i64,
    pub(super) value: f64,
    /// The sequence number of the reading.
    pub(super) seq: u64,
}

/// The samples of one channel, in ascending order of time, at most one per millisecond.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The encoded labels.
    pub(super) labels: Vec<u8>,
    pub(super) points: Vec<Point>,
}

/// The part of a batch that is sent to the server.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) series: Vec<Series>,
    /// The readings of the batch that, as far as is known, the server does not have.
    pub(super) readings: IntervalSet,
    /// The number of these readings that have a sample here.
    pub(super) sampled: u64,
    /// The number of readings that the server has already.
    pub(super) there: u64,
    /// The number of readings without a date.
    pub(super) undated: u64,
    /// The number of values that are text.
    pub(super) texts: u64,
    /// The number of values that were replaced by a later one of the same channel and millisecond.
    pub(super) replaced: u64,
}

impl Samples {
    /// Converts a batch, without the readings that are `there` already.
    pub(super) fn of(
        batch: &Batch,
        config: &PrometheusConfig,
        there: &IntervalSet,
    ) -> Result<Self, SegmentError> {
        let mut samples = Self::default();
        for (first, last) in batch.ranges() {
            for (first, last) in there.missing(first, last) {
                samples.readings.insert(first, last);
            }
        }
        let mut places: BTreeMap<(u32, u16), usize> = BTreeMap::new();
        batch.for_each(|dated| {
            let (seq, sensor) = (dated.reading.seq, dated.sensor);
            if there.contains(seq) {
                samples.there += 1;
                return;
            }
            samples.undated += u64::from(!dated.clock_set);
            for (number, value) in dated.reading.cells {
                let Some(value) = number_of(value) else {
                    samples.texts += 1;
                    continue;
                };
                let Some(channel) = sensor.channels.get(usize::from(*number)) else { continue };
                let place = *places.entry((dated.reading.sensor, *number)).or_insert_with(|| {
                    let labels = encoded(&labels::of(config, &batch.device, sensor, channel));
                    samples.series.push(Series { labels, points: Vec::new() });
                    samples.series.len() - 1
                });
                let point = Point { time_ms: dated.time_ms, value, seq };
                samples.series[place].points.push(point);
            }
        })?;
        samples.put_in_order();
        Ok(samples)
    }

    /// Sorts the samples of each series. Prometheus drops samples that are out of order within a request
    /// without an error.
    fn put_in_order(&mut self) {
        for series in &mut self.series {
            series.points.sort_by_key(|point| point.time_ms);
            let before = series.points.len();
            series.points.dedup_by(|later, kept| {
                let same = later.time_ms == kept.time_ms;
                if same {
                    *kept = *later;
                }
                same
            });
            self.replaced += (before - series.points.len()) as u64;
        }
        self.sampled = self.by_reading().len() as u64;
    }

    /// One sample of each reading that has any, with its series, in the order of the readings.
    pub(super) fn by_reading(&self) -> Vec<(&Series, &Point)> {
        let of = |series| move |point| (series, point);
        let mut all: Vec<(&Series, &Point)> =
            self.series.iter().flat_map(|series| series.points.iter().map(of(series))).collect();
        all.sort_by_key(|(_, point)| point.seq);
        all.dedup_by_key(|(_, point)| point.seq);
        all
    }

    /// The readings whose time is before that of an earlier reading of the same channel.
    pub(super) fn going_back(&self) -> Vec<u64> {
        let mut back = Vec::new();
        for series in &self.series {
            // Go from the newest sample backwards: a reading goes back if one of a later time has a lower
            // number.
            let mut first_after = u64::MAX;
            for point in series.points.iter().rev() {
                if point.seq > first_after {
                    back.push(point.seq);
                }
                first_after = first_after.min(point.seq);
            }
        }
        back
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Whether each reading of the batch has a sample here.
    pub(super) fn is_whole(&self, batch: &Batch) -> bool {
        self.sampled == batch.readings()
    }

    pub(super) fn times(&self) -> impl Iterator<Item = i64> {
        self.series.iter().flat_map(|series| &series.points).map(|point| point.time_ms)
    }

    /// Whether a server that has these samples would refuse them. It accepts no sample before the newest of
    /// a series, so this holds if some series has two.
    pub(super) fn are_conclusive(&self) -> bool {
        self.series.iter().any(|series| series.points.len() > 1)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let series =
            self.series.iter().map(|series| (series.labels.as_slice(), series.points.as_slice()));
        body(series)
    }
}

impl Series {
    pub(super) fn last(&self) -> Option<&Point> {
        self.points.last()
    }
}

/// The number for a value, `None` for text. Prometheus has doubles only, so integers beyond 2^53 are
/// rounded.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        #[expect(clippy::cast_precision_loss, reason = "there is no other representation")]
        Value::Int(value) => Some(*value as f64),
        Value::F32(value) if value.is_nan() => Some(NAN),
        Value::F64(value) if value.is_nan() => Some(NAN),
        Value::F32(value) => Some(f64::from(*value)),
        Value::F64(value) => Some(*value),
        Value::Text(_) => None,
    }
}

/// The body of a request with these series, each given by encoded labels and points.
pub(super) fn body<'a>(series: impl Iterator<Item = (&'a [u8], &'a [Point])>) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, points) in series {
        let length: usize = points.iter().map(|point| 2 + sample_len(point)).sum();
        put_key(&mut request, 1, LENGTH);
        put_varint(&mut request, (labels.len() + length) as u64);
        request.extend_from_slice(labels);
        points.iter().for_each(|point| put_sample(&mut request, point));
    }
    // Compression fails only above 4 GiB, which a batch never reaches.
    snap::raw::Encoder::new().compress_vec(&request).unwrap_or_default()
}

/// Encodes the fields of a TimeSeries that are its labels.
pub(super) fn encoded(labels: &Labels<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut out, 1, &label);
    }
    out
}

/// The wire types of protobuf.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

fn put_sample(out: &mut Vec<u8>, point: &Point) {
    put_key(out, 2, LENGTH);
    put_varint(out, sample_len(point) as u64);
    put_key(out, 1, FIXED64);
    out.extend_from_slice(&point.value.to_le_bytes());
    put_key(out, 2, VARINT);
    put_varint(out, twos_complement(point.time_ms));
}

/// The length of an encoded sample in bytes. It is at most 20, so its own length takes one byte.
fn sample_len(point: &Point) -> usize {
    let bits = 64 - (twos_complement(point.time_ms) | 1).leading_zeros() as usize;
    1 + 8 + 1 + bits.div_ceil(7)
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_key(out, field, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_key(out: &mut Vec<u8>, field: u8, wire_type: u8) {
    out.push(field << 3 | wire_type);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(lowest(number) | 0x80);
        number >>= 7;
    }
    out.push(lowest(number));
}

fn lowest(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// The representation of an int64 in protobuf.
fn twos_complement(number: i64) -> u64 {
    u64::from_le_bytes(number.to_le_bytes())
}

#[cfg(test)]
mod tests;
