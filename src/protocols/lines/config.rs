//! The keys of `framing = "lines"`.

use outstation_codec::CHANNELS_MAX;

use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{Kind, Names, choice, field, fields, integer};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines {
    pub(super) format: Format,
    /// The field that names the sensor; without one the port's name does.
    pub(super) sensor_key: Option<String>,
    /// Without it a reading is dated when its line arrives.
    pub(super) time: Option<TimeKey>,
    /// The field that counts lines, so that gaps show.
    pub(super) sequence_key: Option<String>,
    pub(super) line_max: usize,
}

/// `columns` has every key that [`Lines`] names, and at least one other: the values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Format {
    Json,
    KeyValue,
    Csv { columns: Vec<String>, delimiter: u8 },
}

/// The field with a sensor's own time: a number since 1970, in `unit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeKey {
    pub(super) key: String,
    pub(super) unit: TimeUnit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TimeUnit {
    #[default]
    Seconds,
    Milliseconds,
    Microseconds,
}

/// A format's name as written, and how the keys that belong to it are read.
const FORMATS: Names<fn(&Section<'_>) -> Option<Format>> =
    &[("json", read_json), ("key-value", read_key_value), ("csv", read_csv)];
const TIME_UNITS: Names<TimeUnit> =
    &[("s", TimeUnit::Seconds), ("ms", TimeUnit::Milliseconds), ("us", TimeUnit::Microseconds)];

const CSV_KEYS: [&str; 2] = ["columns", "delimiter"];
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("port.format", "required with framing = \"lines\"", "what a line is"),
    key("port.sensor_key", "the port's name names the sensor", "field that names the sensor"),
    key("port.time_key", "dated when the line arrives", "field with the time, as a number since 1970"),
    key("port.time_unit", "\"s\"", "unit of the field time_key names"),
    key("port.sequence_key", "gaps are not detected", "field that counts lines, so that gaps show"),
    key("port.columns", "required with format = \"csv\"", "names of the columns, from the left"),
    key("port.delimiter", "\",\"", "character between columns"),
    key("port.line_max", "4096", "longest line in bytes; a longer one is counted and skipped"),
];
/// The keys whose value names a field of the line.
const FIELD_KEYS: [&str; 3] = ["sensor_key", "time_key", "sequence_key"];

fn read_time(from: &Section<'_>) -> Option<TimeKey> {
    if !from.has("time_key") {
        from.refuse(&["time_unit"], "a port without time_key", "time_key");
    }
    let unit = from.or("time_unit", TimeUnit::default(), &choice(TIME_UNITS));
    from.optional("time_key", &field()).map(|key| TimeKey { key, unit })
}

fn read_json(from: &Section<'_>) -> Option<Format> {
    from.refuse(&CSV_KEYS, "format = \"json\"", "format = \"csv\"");
    Some(Format::Json)
}

fn read_key_value(from: &Section<'_>) -> Option<Format> {
    from.refuse(&CSV_KEYS, "format = \"key-value\"", "format = \"csv\"");
    Some(Format::KeyValue)
}

fn read_csv(from: &Section<'_>) -> Option<Format> {
    let delimiter = from.or("delimiter", b',', &delimiter());
    let columns = from.required("columns", &fields(CHANNELS_MAX + FIELD_KEYS.len()))?;
    refuse_fields_outside(from, &columns);
    Some(Format::Csv { columns, delimiter })
}

/// Letters, digits and what else numbers are written with cannot also stand between them.
fn delimiter() -> Kind<u8> {
    let separates =
        |c: u8| matches!(c, b'\t' | b' ') || c.is_ascii_punctuation() && !b"+-._\"".contains(&c);
    Kind::text("one ASCII character such as \",\", \";\" or \"\\t\"", move |text| {
        let [byte] = *text.as_bytes() else { return None };
        separates(byte).then_some(byte)
    })
}

fn refuse_shared_fields(from: &Section<'_>) {
    for (at, key) in FIELD_KEYS.into_iter().enumerate() {
        let Some(name) = from.text(key) else { continue };
        let earlier = FIELD_KEYS[..at].iter().find(|earlier| from.text(earlier) == Some(name));
        if let Some(earlier) = earlier {
            from.report(
                key,
                format!("found {name:?}, which {earlier} has; allowed: another field"),
            );
        }
    }
}

fn refuse_fields_outside(from: &Section<'_>, columns: &[String]) {
    let mut values: Vec<_> = columns.iter().map(String::as_str).collect();
    for key in FIELD_KEYS {
        let Some(name) = from.text(key) else { continue };
        values.retain(|column| *column != name);
        if !columns.iter().any(|column| column == name) {
            let allowed = columns.join(", ");
            from.report(key, format!("found {name:?}; allowed: one of columns: {allowed}"));
        }
    }
    if values.is_empty() {
        let names = FIELD_KEYS.join(", ");
        from.report("columns", format!("no value left; allowed: a column besides {names}"));
    }
}

impl Lines {
    pub(super) fn read(from: &Section<'_>) -> Option<Self> {
        refuse_shared_fields(from);
        let format = from.required("format", &choice(FORMATS)).and_then(|read| read(from));
        let sensor_key = from.optional("sensor_key", &field());
        let time = read_time(from);
        let sequence_key = from.optional("sequence_key", &field());
        // Shorter than 16 holds no reading; longer than 64 KiB is no line, but a missing newline.
        let line_max = from.or("line_max", 4096, &integer(16..=65_536));
        Some(Self { format: format?, sensor_key, time, sequence_key, line_max })
    }

    pub(super) fn print(&self, to: &mut Printer) {
        self.format.print(to);
        match &self.sensor_key {
            Some(key) => to.text("sensor_key", key),
            None => to.unset("sensor_key", "the port's name names the sensor"),
        }
        match &self.time {
            Some(time) => {
                to.text("time_key", &time.key);
                to.name("time_unit", &time.unit, TIME_UNITS);
            }
            None => to.unset("time_key", "a reading is dated when it arrives"),
        }
        match &self.sequence_key {
            Some(key) => to.text("sequence_key", key),
            None => to.unset("sequence_key", "gaps are not detected"),
        }
        to.bare("line_max", self.line_max);
    }
}

impl Format {
    fn print(&self, to: &mut Printer) {
        match self {
            Self::Json => to.text("format", "json"),
            Self::KeyValue => to.text("format", "key-value"),
            Self::Csv { columns, delimiter } => {
                to.text("format", "csv");
                to.list("columns", columns);
                to.text("delimiter", char::from(*delimiter));
            }
        }
    }
}
