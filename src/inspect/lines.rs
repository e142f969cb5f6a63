//! Prints readings as text: a table for people, CSV for spreadsheets, or the JSON lines of
//! `encoding/json.rs`.

use std::fmt::Write as _;

use outstation_codec::{Dated, Value};

use crate::domain::model::boots::rfc3339;
use crate::encoding::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// One row per reading, for people.
    Table,
    /// One row per value, with a header.
    Csv,
    /// One object per reading, as a sink with `encoding = "json"` receives it.
    Json,
}

impl OutputFormat {
    /// The extension of a file in this format.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Csv => "csv",
            Self::Json => "jsonl",
        }
    }
}

/// Prints the readings of one epoch of a device's log.
#[derive(Debug)]
pub struct ReadingLines {
    format: OutputFormat,
    json: json::JsonLines,
}

const CSV_HEADER: &str = "seq,time,clock,port,sensor,channel,value,unit\r\n";

impl ReadingLines {
    pub fn of(format: OutputFormat, device: &str, epoch: u64) -> Self {
        Self { format, json: json::JsonLines::of(device, epoch) }
    }

    /// The line above the first row, which only CSV has.
    pub fn header(&self) -> &'static str {
        if self.format == OutputFormat::Csv { CSV_HEADER } else { "" }
    }

    /// Appends the rows of one reading to `out`.
    pub fn add(&self, out: &mut Vec<u8>, dated: &Dated<'_>) {
        match self.format {
            OutputFormat::Json => self.json.add(out, dated),
            OutputFormat::Table => out.extend_from_slice(row(dated).as_bytes()),
            OutputFormat::Csv => out.extend_from_slice(records(dated).as_bytes()),
        }
    }
}

/// A row of the table: `      42  2026-01-01T00:00:00.000Z  mcu/roof  t=21.5 Cel  ok=true`
fn row(dated: &Dated<'_>) -> String {
    let sensor = dated.sensor;
    let unset = if dated.clock_set { "" } else { " (clock unset)" };
    let (port, name) = (printable(&sensor.port), printable(&sensor.name));
    let mut row =
        format!("{:>8}  {}{unset}  {port}/{name}", dated.reading.seq, rfc3339(dated.time_ms));
    for (channel, value) in dated.values() {
        // Writing into memory does not fail.
        let _ = write!(row, "  {}={}", printable(&channel.name), printable(&text(value)));
        if !channel.unit.is_empty() {
            let _ = write!(row, " {}", printable(&channel.unit));
        }
    }
    row.push('\n');
    row
}

/// The CSV records of a reading, one for each value, as RFC 4180 defines them.
fn records(dated: &Dated<'_>) -> String {
    let sensor = dated.sensor;
    let clock = if dated.clock_set { "set" } else { "unset" };
    let head = format!(
        "{},{},{clock},{},{}",
        dated.reading.seq,
        rfc3339(dated.time_ms),
        quoted(&sensor.port),
        quoted(&sensor.name)
    );
    let mut records = String::new();
    for (channel, value) in dated.values() {
        let (name, unit, value) = (quoted(&channel.name), quoted(&channel.unit), text(value));
        let _ = write!(records, "{head},{name},{},{unit}\r\n", quoted(&value));
    }
    records
}

/// A value as text. Floats are written as floats and exactly, as in JSON; NaN and infinity are written too.
fn text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::F32(value) => format!("{value:?}"),
        Value::F64(value) => format!("{value:?}"),
        Value::Text(value) => value.to_string(),
    }
}

/// Escapes control characters, so that a text that a sensor sent cannot drive the terminal.
pub(super) fn printable(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.into() }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use outstation_codec::{Channel, ReadingView, Sensor, Stamp, ValueType};

    use super::*;

    fn rendered(format: OutputFormat, clock_set: bool) -> String {
        let channel = |name: &str, unit: &str| Channel {
            name: name.into(),
            unit: unit.into(),
            kind: ValueType::F64,
        };
        let channels = vec![channel("t", "Cel"), channel("say \"x\"", ""), channel("n", "")];
        let sensor = Sensor { port: "mcu".into(), name: "roof".into(), channels };
        let values = [Value::F64(20.0), Value::Text("a,\u{1b}[2J".into()), Value::F32(f32::NAN)];
        let cells = [(0, &values[0]), (1, &values[1]), (2, &values[2])];
        let reading = ReadingView { seq: 42, sensor: 0, stamp: Stamp::boot(1), cells: &cells };
        let dated = Dated { reading, sensor: &sensor, time_ms: 1_767_225_600_000, clock_set };
        let mut out = Vec::new();
        ReadingLines::of(format, "d", 7).add(&mut out, &dated);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_row_of_the_table_is_for_people_and_leaves_their_terminal_alone() {
        let row = rendered(OutputFormat::Table, true);
        assert_eq!(
            row,
            "      42  2026-01-01T00:00:00.000Z  mcu/roof  t=20.0 Cel  say \"x\"=a,\\u{1b}[2J  n=NaN\n"
        );
        assert!(rendered(OutputFormat::Table, false).contains("00.000Z (clock unset)  mcu/roof"));
    }

    #[test]
    fn a_record_per_value_quotes_what_csv_needs_quoted() {
        let records = rendered(OutputFormat::Csv, false);
        let lines: Vec<&str> = records.split_terminator("\r\n").collect();
        assert_eq!(lines[0], "42,2026-01-01T00:00:00.000Z,unset,mcu,roof,t,20.0,Cel");
        assert!(lines[1].ends_with(",\"say \"\"x\"\"\",\"a,\u{1b}[2J\","), "{}", lines[1]);
        assert!(lines[2].ends_with(",n,NaN,"), "{}", lines[2]);
        assert_eq!(CSV_HEADER.split(',').count(), lines[0].split(',').count());
    }

    #[test]
    fn a_json_line_is_the_one_that_sinks_receive() {
        let line: serde_json::Value =
            serde_json::from_str(&rendered(OutputFormat::Json, false)).expect("JSON");
        assert_eq!((&line["device"], &line["epoch"]), (&"d".into(), &7.into()));
        assert_eq!((&line["seq"], &line["clock"]), (&42.into(), &"unset".into()));
        assert_eq!(line["values"]["t"], 20.0);
    }
}
