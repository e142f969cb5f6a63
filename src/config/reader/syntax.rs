//! How a value is written: read from TOML, written back, put in words, and as a JSON Schema.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use outstation_codec::NAME_MAX;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::print::{list, quoted};

/// How values of one type are written.
pub(crate) struct Syntax<V> {
    /// The values that are allowed, as the end of a sentence.
    pub(crate) allowed: String,
    pub(crate) read: Box<Read<V>>,
    /// Writes a value as TOML that `read` takes.
    pub(crate) write: Box<Write<V>>,
    /// The JSON Schema of the value: as strict as one can be, never stricter than `read`.
    pub(crate) schema: Json,
}

pub(crate) type Read<V> = dyn Fn(&DeValue<'_>) -> Result<V, Refusal>;
pub(crate) type Write<V> = dyn Fn(&V) -> String;
/// Gives `None` for a key that is not set.
pub(crate) type WriteOption<V> = dyn Fn(&V) -> Option<String>;

/// Why a value is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The message shows what was found and what is allowed.
    NotAllowed,
    /// The whole message, for a value that must not be shown or needs another remedy.
    Because(String),
}

impl Refusal {
    /// Refuses a value that only a build with a certain cargo feature knows.
    pub(crate) fn left_out(found: &str, feature: &str) -> Self {
        Self::Because(format!(
            "found {found}, which this build lacks: it was made without the feature `{feature}`"
        ))
    }
}

impl<V: 'static> Syntax<V> {
    fn new(
        allowed: impl Into<String>,
        read: impl Fn(&DeValue<'_>) -> Option<V> + 'static,
        write: impl Fn(&V) -> String + 'static,
        schema: Json,
    ) -> Self {
        let read = move |value: &DeValue<'_>| read(value).ok_or(Refusal::NotAllowed);
        Self { allowed: allowed.into(), read: Box::new(read), write: Box::new(write), schema }
    }

    /// A string that `read` understands and `write` gives back, without quotes.
    pub(crate) fn text(
        allowed: impl Into<String>,
        read: impl Fn(&str) -> Option<V> + 'static,
        write: impl Fn(&V) -> String + 'static,
    ) -> Self {
        let write = move |value: &V| quoted(&write(value));
        Self::new(allowed, move |value| read(value.as_str()?), write, json!({ "type": "string" }))
    }

    pub(crate) fn with_schema(self, schema: Json) -> Self {
        Self { schema, ..self }
    }

    /// The same, of which `check` refuses some values.
    pub(crate) fn refusing(self, check: impl Fn(&V) -> Option<Refusal> + 'static) -> Self {
        let read = self.read;
        let read = move |value: &DeValue<'_>| {
            let value = read(value)?;
            check(&value).map_or(Ok(value), Err)
        };
        Self { read: Box::new(read), ..self }
    }
}

/// Names of variants as they are written.
pub(crate) type Names<V> = &'static [(&'static str, V)];

pub(crate) fn choice<V: Copy + PartialEq + 'static>(names: Names<V>) -> Syntax<V> {
    let words: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    let read = |text: &str| names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    let write = |value: &V| {
        let name = names.iter().find(|(_, known)| known == value);
        name.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    };
    one_of(&words, read, write)
}

/// One of these names.
pub(crate) fn one_of<V: 'static>(
    names: &[&str],
    read: impl Fn(&str) -> Option<V> + 'static,
    write: impl Fn(&V) -> String + 'static,
) -> Syntax<V> {
    let allowed: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    Syntax::text(either(&allowed), read, write).with_schema(json!({ "enum": names }))
}

/// Like [`choice`], for variants written as numbers.
pub(crate) fn number<V: Copy + PartialEq + 'static>(numbers: &'static [(i64, V)]) -> Syntax<V> {
    let allowed: Vec<_> = numbers.iter().map(|(number, _)| number.to_string()).collect();
    let values: Vec<_> = numbers.iter().map(|(number, _)| *number).collect();
    let read = |value: &DeValue<'_>| {
        let found = to_i64(value)?;
        numbers.iter().find(|(number, _)| *number == found).map(|(_, value)| *value)
    };
    let write = |value: &V| {
        let number = numbers.iter().find(|(_, known)| known == value);
        number.map(|(number, _)| number.to_string()).unwrap_or_default()
    };
    Syntax::new(either(&allowed), read, write, json!({ "enum": values }))
}

pub(crate) fn integer<V>(range: RangeInclusive<i64>) -> Syntax<V>
where
    V: TryFrom<i64> + Display + 'static,
{
    let (least, most) = range.clone().into_inner();
    let read = move |value: &DeValue<'_>| {
        V::try_from(to_i64(value).filter(|number| range.contains(number))?).ok()
    };
    let schema = json!({ "type": "integer", "minimum": least, "maximum": most });
    Syntax::new(format!("an integer from {least} to {most}"), read, V::to_string, schema)
}

/// A number as sensors measure it, from `least` on.
pub(crate) fn quantity(least: f64) -> Syntax<f64> {
    let (allowed, schema) = match least {
        0.0 => ("a number from 0 on, such as 1.5", json!({ "type": "number", "minimum": 0 })),
        least if least > 0.0 => {
            ("a number above 0, such as 1.5", json!({ "type": "number", "exclusiveMinimum": 0 }))
        }
        _ => ("a number, such as 80 or -1.5", json!({ "type": "number" })),
    };
    let read = move |value: &DeValue<'_>| {
        let number: f64 = match value.as_float() {
            Some(float) => float.as_str().parse().ok()?,
            #[expect(clippy::cast_precision_loss, reason = "as near as a double can be")]
            None => to_i64(value)? as f64,
        };
        (number.is_finite() && number >= least).then_some(number)
    };
    // The debug form of a number is TOML, whatever its size.
    Syntax::new(allowed, read, |number| format!("{number:?}"), schema)
}

pub(crate) fn duration(range: RangeInclusive<Duration>) -> Syntax<Duration> {
    let [least, most] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
    let allowed = format!("a duration from \"{least}\" to \"{most}\", such as \"1s\" or \"500ms\"");
    let read = move |text: &str| to_duration(text).filter(|found| range.contains(found));
    Syntax::text(allowed, read, |value| humantime::format_duration(*value).to_string())
}

/// Bytes, as an integer or with a unit.
pub(crate) fn bytes<V>(range: RangeInclusive<i64>) -> Syntax<V>
where
    V: TryFrom<i64> + Copy + 'static,
    i64: TryFrom<V>,
{
    let (least, most) = range.clone().into_inner();
    let allowed = format!(
        "bytes from {} to {}, as an integer or such as \"256 KiB\"",
        write_bytes(least),
        write_bytes(most)
    );
    let read = move |value: &DeValue<'_>| {
        let bytes = to_i64(value).or_else(|| to_bytes(value.as_str()?))?;
        V::try_from(Some(bytes).filter(|bytes| range.contains(bytes))?).ok()
    };
    let write = |value: &V| write_bytes(i64::try_from(*value).unwrap_or(i64::MAX));
    let schema = json!({ "anyOf": [
        { "type": "integer", "minimum": least, "maximum": most },
        { "type": "string", "pattern": "^[0-9]+ *(KiB|MiB|GiB)$" },
    ] });
    Syntax::new(allowed, read, write, schema)
}

pub(crate) fn boolean() -> Syntax<bool> {
    let schema = json!({ "type": "boolean" });
    Syntax::new("true or false", |value| value.as_bool(), bool::to_string, schema)
}

/// A name that can stand in a metric label, a path and a URL without quoting.
pub(crate) fn name(length_max: usize) -> Syntax<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let read = move |text: &str| {
        let good = (1..=length_max).contains(&text.len()) && text.bytes().all(plain);
        good.then(|| text.to_owned())
    };
    let pattern = format!("^[A-Za-z0-9._-]{{1,{length_max}}}$");
    Syntax::text(format!("1 to {length_max} characters of A-Z a-z 0-9 . _ -"), read, String::clone)
        .with_schema(json!({ "type": "string", "pattern": pattern }))
}

/// A name within a sensor's own data: a JSON key, a CSV column.
pub(crate) fn field_name() -> Syntax<String> {
    let allowed = format!("a name of 1 to {NAME_MAX} bytes without control characters");
    Syntax::text(allowed, to_field_name, String::clone)
        .with_schema(json!({ "type": "string", "minLength": 1, "maxLength": NAME_MAX }))
}

pub(crate) fn field_names(count_max: usize) -> Syntax<Vec<String>> {
    let allowed = format!("a list of 1 to {count_max} different names of 1 to {NAME_MAX} bytes");
    let read = move |value: &DeValue<'_>| {
        let items = value.as_array()?;
        let read = items.iter().map(|item| to_field_name(item.get_ref().as_str()?));
        let fields = read.collect::<Option<Vec<_>>>()?;
        let repeats = (1..fields.len()).any(|at| fields[..at].contains(&fields[at]));
        ((1..=count_max).contains(&fields.len()) && !repeats).then_some(fields)
    };
    let schema = json!({
        "type": "array", "minItems": 1, "maxItems": count_max, "uniqueItems": true,
        "items": { "type": "string", "minLength": 1, "maxLength": NAME_MAX },
    });
    Syntax::new(allowed, read, |names| list(names), schema)
}

pub(crate) fn path() -> Syntax<PathBuf> {
    Syntax::text("the path of a file", to_path, write_path)
        .with_schema(json!({ "type": "string", "minLength": 1 }))
}

pub(crate) fn path_absolute() -> Syntax<PathBuf> {
    let read = |text: &str| to_path(text).filter(|path| path.is_absolute());
    Syntax::text("an absolute path, such as \"/dev/ttyUSB0\"", read, write_path)
        .with_schema(json!({ "type": "string", "pattern": "^/" }))
}

#[expect(clippy::ptr_arg, reason = "the form that a syntax takes")]
pub(crate) fn write_path(path: &PathBuf) -> String {
    path.display().to_string()
}

/// An address to listen on. `None` is written "off".
pub(crate) fn listen() -> Syntax<Option<SocketAddr>> {
    let allowed = "an IP address and port, such as \"127.0.0.1:9437\" or \"[::]:9437\", or \"off\"";
    let read = |text: &str| match text {
        "off" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let write = |address: &Option<SocketAddr>| {
        address.map_or_else(|| "off".to_owned(), |address| address.to_string())
    };
    Syntax::text(allowed, read, write)
}

/// How a message shows what it found: enough to recognise it, never a screenful.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    const SHOWN_MAX: usize = 60;
    match value {
        DeValue::String(text) if text.chars().count() > SHOWN_MAX => {
            format!("{:?}…", text.chars().take(SHOWN_MAX).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(array) if array.iter().all(|item| item.get_ref().is_str()) => {
            let shown: Vec<_> = array.iter().take(8).map(|item| found(item.get_ref())).collect();
            format!("[{}{}]", shown.join(", "), if array.len() > 8 { ", …" } else { "" })
        }
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// `a, b or c`.
pub(crate) fn either(names: &[String]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        names => names.concat(),
    }
}

fn to_i64(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// humantime sums the parts in seconds and panics past `u64::MAX` of them; ten digits a part and 64
/// bytes in all cannot reach it.
fn to_duration(text: &str) -> Option<Duration> {
    let parts_small = text.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= 10);
    (text.len() <= 64 && parts_small).then(|| humantime::parse_duration(text).ok())?
}

const UNITS: [(&str, i64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn to_bytes(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// With the largest unit that leaves a whole number.
fn write_bytes(bytes: i64) -> String {
    let fits = |(_, factor): &(&str, i64)| bytes >= *factor && bytes % factor == 0;
    match UNITS.into_iter().find(fits) {
        Some((unit, factor)) => format!("\"{} {unit}\"", bytes / factor),
        None => bytes.to_string(),
    }
}

fn to_field_name(text: &str) -> Option<String> {
    let good = (1..=NAME_MAX).contains(&text.len()) && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

pub(crate) fn to_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}
