//! A record: a copy of an event that is kept until it is written.

use std::collections::BTreeMap;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Longer values and messages are cut. They quote servers and sensors, whose texts have no bound.
const VALUE_BYTES_MAX: usize = 2048;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldValue {
    Text(String),
    /// Text that is shown without quotes.
    Shown(String),
    Count(u64),
    Number(i64),
    Float(f64),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Shown(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Float(float) => write!(f, "{float}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    /// File and line of the event in the source.
    pub(crate) location: Option<(&'static str, u32)>,
    pub(crate) wall_ms: i64,
    /// Empty for events that are meant for developers only.
    pub(crate) message_id: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, FieldValue)>,
    /// How many earlier records this one stands for.
    pub(crate) repeats: u64,
}

impl Record {
    /// A record without an event.
    pub(crate) fn new(level: Level, message_id: &str, message: &str, wall_ms: i64) -> Self {
        Self {
            level,
            target: module_path!(),
            location: None,
            wall_ms,
            message_id: message_id.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
            repeats: 0,
        }
    }

    pub(crate) fn of(event: &Event<'_>, wall_ms: i64) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            target: metadata.target(),
            location: metadata.file().zip(metadata.line()),
            ..Self::new(*metadata.level(), "", "", wall_ms)
        };
        event.record(&mut record);
        record
    }

    pub(crate) fn field(&self, name: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
    }

    /// About how much memory the record takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| match value {
            FieldValue::Text(text) | FieldValue::Shown(text) => text.len(),
            FieldValue::Count(_) | FieldValue::Number(_) | FieldValue::Float(_) => 0,
        });
        size_of::<Self>()
            + size_of_val(self.fields.as_slice())
            + self.message_id.len()
            + self.message.len()
            + fields.sum::<usize>()
    }

    /// Makes this record stand for `older` too. Counts are added up, a range of numbers grows to cover
    /// both, and all other fields keep their newer values.
    pub(crate) fn merge(&mut self, older: &Self) {
        self.repeats += older.repeats + 1;
        if self.message_id != older.message_id {
            return;
        }
        for (name, value) in &mut self.fields {
            let Some(before) = older.field(name) else { continue };
            match (*name, value, before) {
                (
                    "count" | "bytes" | "values" | "readings",
                    FieldValue::Count(now),
                    FieldValue::Count(more),
                ) => {
                    *now += more;
                }
                ("faults", FieldValue::Text(now), FieldValue::Text(more)) => {
                    *now = add_up(now, more)
                }
                ("first_seq" | "from_ms", now, before) => now.clone_from(before),
                _ => {}
            }
        }
    }

    fn put(&mut self, field: &Field, value: FieldValue) {
        self.fields.push((field.name(), value));
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message_id" => value.clone_into(&mut self.message_id),
            "message" => self.message = cut(value.to_owned()),
            _ => self.put(field, FieldValue::Text(cut(value.to_owned()))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = cut(format!("{value:?}"));
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, FieldValue::Shown(text)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, FieldValue::Count(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, FieldValue::Number(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, FieldValue::Float(value));
    }
}

/// Adds up two lists such as `crc 3, too_long 1`.
fn add_up(one: &str, other: &str) -> String {
    let mut sums = BTreeMap::<&str, u64>::new();
    for part in one.split(", ").chain(other.split(", ")) {
        let (name, count) = part.rsplit_once(' ').unwrap_or((part, "0"));
        *sums.entry(name).or_default() += count.parse().unwrap_or(0);
    }
    let parts: Vec<String> = sums.iter().map(|(name, count)| format!("{name} {count}")).collect();
    parts.join(", ")
}

fn cut(mut text: String) -> String {
    if text.len() > VALUE_BYTES_MAX {
        let end = (0..=VALUE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_by_reason() {
        assert_eq!(add_up("crc 3, too_long 1", "cobs 2, crc 4"), "cobs 2, crc 7, too_long 1");
    }

    #[test]
    fn what_others_say_is_cut_between_two_characters() {
        let long = cut("€".repeat(1000));
        assert!(long.len() < VALUE_BYTES_MAX + 4 && long.ends_with("€…"), "{}", long.len());
        assert_eq!(cut("short".to_owned()), "short");
    }
}
