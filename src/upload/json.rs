//! The `json` encoding: one object per reading per line.
//!
//! ```json
//! {"device":"pump-7","epoch":9,"seq":1,"port":"mcu","sensor":"mcu","time":"2026-01-01T00:00:00.000Z","values":{"t":21.5}}
//! ```
//!
//! `"clock":"unset"` is added while the device did not know the date.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use crate::domain::batch::{Batch, Dated};
use crate::domain::reading::Value;
use crate::domain::segment::SegmentError;

pub fn encode(batch: &Batch) -> Result<Vec<u8>, SegmentError> {
    let mut out = Vec::new();
    let device = quoted(&batch.device);
    let mut head = Vec::new();
    drop(write!(head, "{{\"device\":{device},\"epoch\":{},\"seq\":", batch.epoch));
    batch.for_each(|dated| {
        out.extend_from_slice(&head);
        // Writing into memory does not fail.
        drop(write_reading(&mut out, &dated));
    })?;
    Ok(out)
}

fn write_reading(out: &mut Vec<u8>, dated: &Dated<'_>) -> io::Result<()> {
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
    out.extend_from_slice(b",\"values\":{");
    let mut separator = "";
    for (channel, value) in dated.reading.cells {
        let Some(channel) = sensor.channels.get(usize::from(*channel)) else { continue };
        write!(out, "{separator}{}:", quoted(&channel.name))?;
        write_value(out, value)?;
        separator = ",";
    }
    out.extend_from_slice(b"}}\n");
    Ok(())
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

/// RFC 3339 in UTC with milliseconds; before 1970 is 1970.
fn rfc3339(ms: i64) -> humantime::Rfc3339Timestamp {
    // Year 9999 is where RFC 3339 ends.
    let ms = u64::try_from(ms.clamp(0, 253_402_300_799_999)).unwrap_or(0);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms))
}
