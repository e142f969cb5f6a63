//! The keys of `framing = "lines"`, and the checks between them. The keys that all ports share are in
//! `config/port.rs`.

use outstation_codec::CHANNELS_MAX;
use serde_json::json;

use crate::config::reader::field::{default, optional, required};
use crate::config::reader::section::Section;
use crate::config::reader::syntax::{Names, Syntax, choice, field_name, field_names, integer};
use crate::config::reader::table::{self, settings};

settings! {
    /// A sensor that writes a line of text for each reading.
    pub(super) struct Lines {
        /// What a line is: a JSON object, such as `{"sensor":"roof","ts":1767225600,"n":42,"wind":3.1}`; pairs
        /// of key and value, such as `temperature=21.5 wind=3.1`; or columns, such as `1767225600;230.1;4.7`
        /// (a header line is recognised by its names).
        pub(super) format: LineFormat = required(choice(FORMATS)).example("\"json\"");

        /// Field that names the sensor.
        pub(super) sensor_key: Option<String> =
            optional("the port's name names the sensor", field_name()).example("\"sensor\"");

        /// Field with the time, a number since 1970 or a text of RFC 3339.
        pub(super) time_key: Option<String> =
            optional("a reading is dated when its line arrives", field_name()).example("\"ts\"");

        /// Unit of the field that `time_key` names.
        pub(super) time_unit: TimeUnit =
            default(TimeUnit::Seconds, choice(TIME_UNITS)).only_with(&["time_key"]);

        /// Field that counts lines, so that gaps are detected.
        pub(super) sequence_key: Option<String> =
            optional("gaps are not detected", field_name()).example("\"n\"");

        /// Names of the columns, from the left; what the keys above name must be among them.
        pub(super) columns: Vec<String> = required(field_names(CHANNELS_MAX + FIELD_KEYS.len()))
            .only_if("format", "csv")
            .example("[\"ts\", \"voltage\", \"current\"]");

        /// Character between columns.
        pub(super) delimiter: u8 = default(b',', delimiter()).only_if("format", "csv").example("\";\"");

        /// Longest line in bytes, with its line feed. A longer one is counted and skipped.
        // Shorter than 16 holds no reading; longer than 64 KiB is no line, but a missing newline.
        pub(super) line_max: usize = default(4096, integer(16..=65_536));
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LineFormat {
    #[default]
    Json,
    KeyValue,
    Csv,
}

/// The unit of a time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
}

const FORMATS: Names<LineFormat> =
    &[("json", LineFormat::Json), ("key-value", LineFormat::KeyValue), ("csv", LineFormat::Csv)];
const TIME_UNITS: Names<TimeUnit> =
    &[("s", TimeUnit::Seconds), ("ms", TimeUnit::Milliseconds), ("us", TimeUnit::Microseconds)];
/// The keys whose value is the name of a field.
const FIELD_KEYS: [&str; 3] = ["sensor_key", "time_key", "sequence_key"];

impl Lines {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let lines: Self = table::read(from);
        refuse_shared_fields(from);
        if lines.format == LineFormat::Csv && !lines.columns.is_empty() {
            refuse_fields_outside(from, &lines.columns);
        }
        lines
    }

    /// The name and unit of the field with the sensor's own time.
    pub(super) fn time(&self) -> Option<(&str, TimeUnit)> {
        self.time_key.as_deref().map(|key| (key, self.time_unit))
    }
}

/// A character between columns. It cannot be one that numbers or names are written with.
fn delimiter() -> Syntax<u8> {
    let separates =
        |c: u8| matches!(c, b'\t' | b' ') || c.is_ascii_punctuation() && !b"+-._\"".contains(&c);
    let read = move |text: &str| {
        let [byte] = *text.as_bytes() else { return None };
        separates(byte).then_some(byte)
    };
    let allowed = "one ASCII character such as \",\", \";\" or \"\\t\"";
    Syntax::text(allowed, read, |byte| char::from(*byte).to_string())
        .with_schema(json!({ "type": "string", "minLength": 1, "maxLength": 1 }))
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
