//! Formats a record as a line for people or as a line of JSON.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value as Json};
use tracing::Level;

use super::record::{FieldValue, Record};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text { colours: bool },
    Json,
}

impl Format {
    pub(crate) fn bytes(self, record: &Record) -> Vec<u8> {
        match self {
            Self::Text { colours } => text(record, colours).into_bytes(),
            Self::Json => json(record).into_bytes(),
        }
    }
}

/// The message comes first, then the fields. The message id is left out, because it means nothing to people.
fn text(record: &Record, colours: bool) -> String {
    let mut line = format!("{} ", time(record.wall_ms));
    let level = format!("{:>5}", record.level.as_str());
    match colours {
        true => line.push_str(&format!("\x1b[{}m{level}\x1b[0m ", colour(record.level))),
        false => line.push_str(&format!("{level} ")),
    }
    line.push_str(&harmless(&message(record), ""));
    for (name, value) in fields(record) {
        let _ = write!(line, " {name}=");
        match &value {
            FieldValue::Text(text) => line.push_str(&format!("{text:?}")),
            value => line.push_str(&harmless(&value.to_string(), "")),
        }
    }
    line.push('\n');
    line
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

/// Escapes control characters except the `allowed` ones. Text from a server or a sensor could otherwise
/// forge lines or control the terminal, and journalctl does not show a message with control characters.
pub fn harmless(text: &str, allowed: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() && !allowed.contains(char) {
            true => harmless.extend(char.escape_default()),
            false => harmless.push(char),
        }
    }
    harmless
}

fn json(record: &Record) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), time(record.wall_ms).into());
    object.insert("level".to_owned(), record.level.as_str().into());
    object.insert("message".to_owned(), message(record).into());
    if !record.message_id.is_empty() {
        object.insert("message_id".to_owned(), record.message_id.as_str().into());
    }
    for (name, value) in fields(record) {
        object.insert(name.to_owned(), json_value(value));
    }
    object.insert("target".to_owned(), record.target.into());
    format!("{}\n", Json::Object(object))
}

fn json_value(value: FieldValue) -> Json {
    match value {
        FieldValue::Text(text) | FieldValue::Shown(text) => text.into(),
        FieldValue::Count(count) => count.into(),
        FieldValue::Number(number) => number.into(),
        FieldValue::Float(float) => float.into(),
    }
}

/// The message, with the number of repeats that the record stands for.
pub(super) fn message(record: &Record) -> String {
    match record.repeats {
        0 => record.message.clone(),
        more => format!("{} (and {more} more before it)", record.message),
    }
}

/// The fields of the event, and how many repeats the record stands for.
pub(super) fn fields(record: &Record) -> impl Iterator<Item = (&'static str, FieldValue)> {
    let repeats = (record.repeats > 0).then_some(("repeats", FieldValue::Count(record.repeats)));
    record.fields.iter().cloned().chain(repeats)
}

fn time(wall_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(wall_ms).unwrap_or_default());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests;
