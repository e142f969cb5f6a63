//! The `json` encoding: one object per line, for each event and each reading.
//!
//! ```json
//! {"device":"pump-7","epoch":9,"event":17,"stream":"port/mcu","time":"2026-01-01T00:00:00.000Z","kind":"port_opened"}
//! {"device":"pump-7","epoch":9,"seq":1,"port":"mcu","sensor":"mcu","time":"2026-01-01T00:00:00.000Z","values":{"t":21.5}}
//! ```
//!
//! `"clock":"unset"` marks lines whose date is not known yet. `"lane":"alarm"` or `"lane":"backfill"` is
//! added to readings of another lane than live. The fields of each kind of event are in
//! [`event_line`](crate::domain::model::event_line).

use std::io::{self, Write};

use outstation_codec::{Batch, Dated, Lane, SegmentError, Value, ValueType};

use crate::domain::model::boots::rfc3339;
use crate::domain::model::event_line::EventLine;

/// Encodes a batch: its events first, then its readings.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, SegmentError> {
    let mut out = Vec::new();
    // Events come first: the start of an epoch or the description of a sensor, then its readings.
    for record in &batch.events {
        drop(serde_json::to_writer(&mut out, &EventLine::of(batch, record)));
        out.push(b'\n');
    }
    let lines = JsonLines::of_batch(batch);
    batch.for_each(|dated| lines.add(&mut out, &dated))?;
    Ok(out)
}

/// Writes the lines of readings of one device and epoch.
#[derive(Debug)]
pub struct JsonLines {
    /// The beginning of every line, up to the sequence number.
    head: String,
    /// The field that names the lane, empty for live readings.
    lane: &'static str,
}

impl JsonLines {
    /// Creates the writer for readings of the live lane.
    pub fn of(device: &str, epoch: u64) -> Self {
        let head = format!("{{\"device\":{},\"epoch\":{epoch},\"seq\":", quoted(device));
        Self { head, lane: "" }
    }

    /// Creates the writer for a batch, which marks alarms and backlog.
    pub fn of_batch(batch: &Batch) -> Self {
        let lane = match batch.lane {
            Lane::Alarm => ",\"lane\":\"alarm\"",
            Lane::Live => "",
            Lane::Backfill => ",\"lane\":\"backfill\"",
        };
        Self { lane, ..Self::of(&batch.device, batch.epoch) }
    }

    /// Appends the line of a reading.
    pub fn add(&self, out: &mut Vec<u8>, dated: &Dated<'_>) {
        out.extend_from_slice(self.head.as_bytes());
        // Writing into memory does not fail.
        drop(write_reading(out, dated, self.lane));
    }
}

fn write_reading(out: &mut Vec<u8>, dated: &Dated<'_>, lane: &str) -> io::Result<()> {
    let sensor = dated.sensor;
    write!(
        out,
        "{},\"port\":{},\"sensor\":{}",
        dated.reading.seq,
        quoted(&sensor.port),
        quoted(&sensor.name)
    )?;
    write!(out, ",\"time\":\"{}\"", rfc3339(dated.time_ms))?;
    if !dated.clock_set {
        out.extend_from_slice(b",\"clock\":\"unset\"");
    }
    out.extend_from_slice(lane.as_bytes());
    out.extend_from_slice(b",\"values\":{");
    let mut separator = "";
    for (channel, value) in dated.values() {
        write!(out, "{separator}{}:", quoted(&channel.name))?;
        match (channel.kind, value) {
            // A sensor that sends `20` between `20.5` and `19.5` means a float.
            (ValueType::F32 | ValueType::F64, Value::Int(whole)) if is_exact(*whole) => {
                write!(out, "{whole}.0")?;
            }
            _ => write_value(out, value)?,
        }
        separator = ",";
    }
    out.extend_from_slice(b"}}\n");
    Ok(())
}

/// Whether a reader that has only doubles reads the same number.
fn is_exact(whole: i64) -> bool {
    whole.unsigned_abs() <= 1 << 53
}

/// Writes a value: numbers are as short as possible but exact, and floats always have a point (`20.0`), so
/// that a channel keeps its type at the receiver. A value that JSON cannot express becomes `null`.
fn write_value(out: &mut Vec<u8>, value: &Value) -> io::Result<()> {
    match value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::F32(value) if value.is_finite() => write!(out, "{value:?}"),
        Value::F64(value) if value.is_finite() => write!(out, "{value:?}"),
        Value::F32(_) | Value::F64(_) => write!(out, "null"),
        Value::Text(value) => write!(out, "{}", quoted(value)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use outstation_codec::Stamp;

    use super::*;
    use crate::test_kit::batches::{batch, segment, sensor};

    #[test]
    fn a_whole_number_of_a_float_channel_is_written_as_a_float_and_a_count_as_a_count() {
        let sensor = sensor("s", &[("t", ValueType::F64), ("n", ValueType::Int)]);
        let rows = [Value::F64(20.5), Value::Int(20)];
        let rows = rows.map(|value| (Stamp::unix(0), vec![value, Value::Int(7)]));
        let batch = batch(vec![sensor], vec![segment(1, rows)]);
        let lines = String::from_utf8(encode(&batch).expect("sound")).expect("text");
        assert!(!lines.contains("lane"), "what is live is the usual: {lines}");
        let drained = Batch { lane: Lane::Backfill, ..batch };
        let marked = String::from_utf8(encode(&drained).expect("sound")).expect("text");
        assert_eq!(marked.matches("\"lane\":\"backfill\",\"values\"").count(), 2, "{marked}");
        let values: Vec<&str> =
            lines.lines().filter_map(|line| line.split("values").nth(1)).collect();
        assert_eq!(values, ["\":{\"t\":20.5,\"n\":7}}", "\":{\"t\":20.0,\"n\":7}}"]);
    }
}
