//! How a record looks: a line for people, a line of JSON, or a datagram for journald.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value as Json};
use tracing::Level;

use super::record::{Record, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text { colours: bool },
    Json,
    Journal,
}

impl Format {
    pub(crate) fn bytes(self, record: &Record) -> Vec<u8> {
        match self {
            Self::Text { colours } => text(record, colours).into_bytes(),
            Self::Json => json(record).into_bytes(),
            Self::Journal => journal(record),
        }
    }
}

/// Message first, then fields; the message id means nothing to people.
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
            Value::Text(text) => line.push_str(&format!("{text:?}")),
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

/// What comes from a server or a sensor must not play tricks with lines or the terminal, and
/// journalctl shows none of a message that could.
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

fn json_value(value: Value) -> Json {
    match value {
        Value::Text(text) | Value::Shown(text) => text.into(),
        Value::Count(count) => count.into(),
        Value::Number(number) => number.into(),
        Value::Float(float) => float.into(),
    }
}

/// systemd.io/JOURNAL_NATIVE_PROTOCOL: `NAME=value` lines; a value of several lines is preceded by
/// its length.
fn journal(record: &Record) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(512);
    let mut put = |name: &str, value: &str| {
        push_field(&mut datagram, name, &harmless(value, "\n\t"));
    };
    put("MESSAGE", &message(record));
    put("PRIORITY", priority(record.level));
    put("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    if !record.message_id.is_empty() {
        put("MESSAGE_ID", &record.message_id);
    }
    for (name, value) in fields(record) {
        put(&journal_name(name), &value.to_string());
    }
    put("TARGET", record.target);
    if let Some((file, line)) = record.place {
        put("CODE_FILE", file);
        put("CODE_LINE", &line.to_string());
    }
    datagram
}

pub(crate) fn push_field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    // Writing into memory does not fail.
    let _ = writeln!(datagram, "{value}");
}

/// journald takes capitals, digits and underscores, and keeps names that begin with one for itself.
fn journal_name(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.trim_start_matches('_').chars().map(upper).collect()
}

/// syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

fn message(record: &Record) -> String {
    match record.repeats {
        0 => record.message.clone(),
        more => format!("{} (and {more} more before it)", record.message),
    }
}

fn fields(record: &Record) -> impl Iterator<Item = (&'static str, Value)> {
    let repeats = (record.repeats > 0).then_some(("repeats", Value::Count(record.repeats)));
    record.fields.iter().cloned().chain(repeats)
}

fn time(wall_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(wall_ms).unwrap_or_default());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests;
