//! The `influx` encoding: InfluxDB's line protocol, with one line per reading.
//!
//! ```text
//! mcu,device=pump-7,port=mcu,sensor=mcu t=21.5,n=7i,open=t,card="a" 1767225600000000042
//! ```
//!
//! A point is identified by measurement, tags and timestamp, so a repeat overwrites the same point. Several
//! readings of a sensor within one millisecond would overwrite each other too. Therefore the nanoseconds
//! are the last six digits of the sequence number, unless the URL asks for milliseconds.
//!
//! The tag `clock=unset` marks readings that were sent before the device knew the date.

use std::collections::HashMap;
use std::fmt::Write as _;

use outstation_codec::{Batch, Channel, Dated, SegmentError, Value, ValueType};

use crate::domain::model::template::{Template, TemplateNames};

const NANOS: i64 = 1_000_000;

/// How whole numbers are written, for channels that have had no other values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Integers {
    #[default]
    Integer,
    Float,
}

/// The unit of timestamps in the line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// The default of the protocol.
    Nanoseconds,
    Milliseconds,
}

/// The form of the lines that a sink wants.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub measurement: Template,
    pub integers: Integers,
    pub precision: Precision,
}

/// The count of what the line protocol cannot express.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Omitted {
    /// The number of values that are NaN or infinite.
    pub values: u64,
    /// The number of readings that have no value left, or a time beyond the year 2262.
    pub readings: u64,
}

/// Encodes a batch, without what the line protocol cannot express, which is counted.
pub(crate) fn encode(batch: &Batch, dialect: &Dialect) -> Result<(Vec<u8>, Omitted), SegmentError> {
    let mut lines =
        Lines { dialect, out: String::new(), series: HashMap::new(), omitted: Omitted::default() };
    batch.for_each(|dated| lines.add(&batch.device, &dated))?;
    Ok((lines.out.into_bytes(), lines.omitted))
}

struct Lines<'a> {
    dialect: &'a Dialect,
    out: String,
    /// The measurement and tags of each sensor, by port and sensor name.
    series: HashMap<(String, String), Series>,
    omitted: Omitted,
}

struct Series {
    measurement: String,
    tags: String,
}

impl Lines<'_> {
    fn add(&mut self, device: &str, dated: &Dated<'_>) {
        let begin = self.out.len();
        self.start(device, dated);
        let mut separator = ' ';
        for (channel, value) in dated.values() {
            let before = self.out.len();
            self.out.push(separator);
            push_field_key(&mut self.out, &channel.name);
            self.out.push('=');
            if push_value(&mut self.out, channel, value, self.dialect.integers) {
                separator = ',';
            } else {
                self.out.truncate(before);
                self.omitted.values += 1;
            }
        }
        let time = self.timestamp(dated).filter(|_| separator == ',');
        let Some(time) = time else {
            self.out.truncate(begin);
            self.omitted.readings += 1;
            return;
        };
        // Writing into memory does not fail.
        let _ = writeln!(self.out, " {time}");
    }

    fn start(&mut self, device: &str, dated: &Dated<'_>) {
        let (port, sensor) = (&dated.sensor.port, &dated.sensor.name);
        let series = self.series.entry((port.clone(), sensor.clone()));
        let series = series.or_insert_with(|| Series {
            measurement: measurement(&self.dialect.measurement.fill(TemplateNames {
                device,
                port,
                sensor,
            })),
            tags: tags(&[("device", device), ("port", port), ("sensor", sensor)]),
        });
        self.out.push_str(&series.measurement);
        if !dated.clock_set {
            self.out.push_str(",clock=unset");
        }
        self.out.push_str(&series.tags);
    }

    fn timestamp(&self, dated: &Dated<'_>) -> Option<i64> {
        match self.dialect.precision {
            Precision::Milliseconds => Some(dated.time_ms),
            Precision::Nanoseconds => {
                let within = i64::try_from(dated.reading.seq % NANOS.unsigned_abs()).ok()?;
                dated.time_ms.checked_mul(NANOS)?.checked_add(within)
            }
        }
    }
}

/// Writes a value; false if it cannot be expressed. A field must keep its type, so a value is written as
/// the widest type that its channel has shown.
fn push_value(out: &mut String, channel: &Channel, value: &Value, integers: Integers) -> bool {
    let whole = |out: &mut String, number: i64| {
        let integer = channel.kind <= ValueType::Int && integers == Integers::Integer;
        let _ = write!(out, "{number}{}", if integer { "i" } else { "" });
    };
    match (channel.kind, value) {
        (_, Value::F32(number)) if !number.is_finite() => return false,
        (_, Value::F64(number)) if !number.is_finite() => return false,
        (_, Value::Text(text)) => push_text(out, text),
        (ValueType::Text, Value::Bool(flag)) => push_text(out, &flag.to_string()),
        (ValueType::Text, Value::Int(number)) => push_text(out, &number.to_string()),
        (ValueType::Text, Value::F32(number)) => push_text(out, &format!("{number:?}")),
        (ValueType::Text, Value::F64(number)) => push_text(out, &format!("{number:?}")),
        (ValueType::Bool, Value::Bool(flag)) => out.push(if *flag { 't' } else { 'f' }),
        (_, Value::Bool(flag)) => whole(out, i64::from(*flag)),
        (_, Value::Int(number)) => whole(out, *number),
        // Writing into memory does not fail.
        (_, Value::F32(number)) => drop(write!(out, "{number:?}")),
        (_, Value::F64(number)) => drop(write!(out, "{number:?}")),
    }
    true
}

/// Writes a text in quotes, with line breaks as `\n`: some receivers divide lines before they look at
/// quotes, and would take the rest of the text for a new point.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\\\n"),
            '\r' => out.push_str("\\\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn measurement(name: &str) -> String {
    let mut out = String::new();
    // A line that begins with `#` is a comment.
    let name = name.strip_prefix('#').map_or_else(|| name.to_owned(), |rest| format!("_{rest}"));
    push_name(&mut out, &name, &[',', ' ']);
    out
}

fn tags(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    // The protocol has no empty tag values.
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(out, ",{key}=");
        push_name(&mut out, value, &[',', '=', ' ']);
    }
    out
}

fn push_field_key(out: &mut String, name: &str) {
    // InfluxDB drops a field named `time`, and some parsers begin a text at a quote.
    let name = if name == "time" { "time_" } else { name };
    push_name(out, &name.replace('"', "'"), &[',', '=', ' ']);
}

/// Writes a name with its special characters escaped. A backslash is replaced, because whether it escapes
/// depends on what follows.
fn push_name(out: &mut String, name: &str, special: &[char]) {
    if name.is_empty() {
        out.push('_');
    }
    for c in name.chars() {
        match c {
            '\\' => out.push('/'),
            c if c.is_control() => out.push('_'),
            c if special.contains(&c) => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
