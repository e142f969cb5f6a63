//! The `json` encoding: one object per event and per reading, one per line.
//!
//! ```json
//! {"device":"pump-7","epoch":9,"event":17,"stream":"port/mcu","time":"2026-01-01T00:00:00.000Z","kind":"port_opened"}
//! {"device":"pump-7","epoch":9,"seq":1,"port":"mcu","sensor":"mcu","time":"2026-01-01T00:00:00.000Z","values":{"t":21.5}}
//! ```
//!
//! `"clock":"unset"` is added while the device did not know the date, and `"lane":"alarm"` or
//! `"lane":"backfill"` to what does not travel as live. What each kind of event says
//! is in [`event_line`](crate::domain::model::event_line).

use std::io::{self, Write};

use outstation_codec::{Batch, Dated, Lane, SegmentError, Value, ValueType};

use crate::domain::model::boots::rfc3339;
use crate::domain::model::event_line::EventLine;

pub fn encode(batch: &Batch) -> Result<Vec<u8>, SegmentError> {
    let mut out = Vec::new();
    // First what happened: the start of an epoch or a sensor's description, then its readings.
    for record in &batch.events {
        drop(serde_json::to_writer(&mut out, &EventLine::of(batch, record)));
        out.push(b'\n');
    }
    let lines = JsonLines::of_batch(batch);
    batch.for_each(|dated| lines.add(&mut out, &dated))?;
    Ok(out)
}

/// The lines of one life of a device's log.
#[derive(Debug)]
pub struct JsonLines {
    /// What all begin with.
    head: String,
    /// How they travel, unless it is the usual way.
    lane: &'static str,
}

impl JsonLines {
    pub fn of(device: &str, epoch: u64) -> Self {
        let head = format!("{{\"device\":{},\"epoch\":{epoch},\"seq\":", quoted(device));
        Self { head, lane: "" }
    }

    /// Those of a batch, which say so if they are alarms or backlog.
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
            // A sensor that says `20` between `20.5` and `19.5` means a float.
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

/// Whether every reader that has only doubles reads the same number.
fn is_exact(whole: i64) -> bool {
    whole.unsigned_abs() <= 1 << 53
}

/// Numbers as short as they can be and still exact, floats always as such (`20.0`), so that a
/// channel keeps its type at the receiver; what JSON cannot say is `null`.
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
