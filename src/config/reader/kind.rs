//! Kinds of value a key can have: how each is read, and how what it allows is put in words.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use outstation_codec::NAME_MAX;
use toml::de::DeValue;

pub(crate) struct Kind<T> {
    pub(crate) allowed: String,
    pub(crate) read: Box<Read<T>>,
}

pub(crate) type Read<T> = dyn Fn(&DeValue<'_>) -> Result<T, Refusal>;

#[derive(Debug)]
pub(crate) enum Refusal {
    /// The usual: the message shows what was found and what is allowed.
    NotAllowed,
    /// The value is better not shown, or needs another remedy.
    Because(String),
}

impl Refusal {
    /// For a value that only builds with a certain cargo feature know.
    pub(crate) fn left_out(found: &str, feature: &str) -> Self {
        Self::Because(format!(
            "found {found}, which this build lacks: it was made without the feature `{feature}`"
        ))
    }
}

impl<T: 'static> Kind<T> {
    fn new(allowed: impl Into<String>, read: impl Fn(&DeValue<'_>) -> Option<T> + 'static) -> Self {
        let read = move |value: &DeValue<'_>| read(value).ok_or(Refusal::NotAllowed);
        Self { allowed: allowed.into(), read: Box::new(read) }
    }

    pub(crate) fn text(
        allowed: impl Into<String>,
        read: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        Self::new(allowed, move |value| read(value.as_str()?))
    }
}

/// Names of variants as they are written; one table serves reading, printing and messages.
pub(crate) type Names<T> = &'static [(&'static str, T)];

pub(crate) fn choice<T: Copy + 'static>(names: Names<T>) -> Kind<T> {
    let allowed: Vec<_> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
    Kind::text(either(&allowed), |text| {
        names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    })
}

/// Like [`choice`], for variants written as numbers.
pub(crate) fn number<T: Copy + 'static>(numbers: &'static [(i64, T)]) -> Kind<T> {
    let allowed: Vec<_> = numbers.iter().map(|(number, _)| number.to_string()).collect();
    Kind::new(either(&allowed), |value| {
        let found = to_i64(value)?;
        numbers.iter().find(|(number, _)| *number == found).map(|(_, value)| *value)
    })
}

pub(crate) fn integer<T: TryFrom<i64> + 'static>(range: RangeInclusive<i64>) -> Kind<T> {
    let allowed = format!("an integer from {} to {}", range.start(), range.end());
    Kind::new(allowed, move |value| {
        T::try_from(to_i64(value).filter(|number| range.contains(number))?).ok()
    })
}

/// A number as sensors measure it, from `least` on.
pub(crate) fn quantity(least: f64) -> Kind<f64> {
    let allowed = match least {
        0.0 => "a number from 0 on, such as 1.5".to_owned(),
        least if least > 0.0 => "a number above 0, such as 1.5".to_owned(),
        _ => "a number, such as 80 or -1.5".to_owned(),
    };
    Kind::new(allowed, move |value| {
        let number: f64 = match value.as_float() {
            Some(float) => float.as_str().parse().ok()?,
            #[expect(clippy::cast_precision_loss, reason = "as near as a double can be")]
            None => to_i64(value)? as f64,
        };
        (number.is_finite() && number >= least).then_some(number)
    })
}

pub(crate) fn duration(range: RangeInclusive<Duration>) -> Kind<Duration> {
    let [least, most] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
    let allowed = format!("a duration from \"{least}\" to \"{most}\", such as \"1s\" or \"500ms\"");
    Kind::text(allowed, move |text| to_duration(text).filter(|found| range.contains(found)))
}

/// Bytes, as an integer or with a unit.
pub(crate) fn bytes<T: TryFrom<i64> + 'static>(range: RangeInclusive<i64>) -> Kind<T> {
    let allowed = format!(
        "bytes from {} to {}, as an integer or such as \"256 KiB\"",
        range.start(),
        range.end()
    );
    Kind::new(allowed, move |value| {
        let bytes = to_i64(value).or_else(|| to_bytes(value.as_str()?))?;
        T::try_from(Some(bytes).filter(|bytes| range.contains(bytes))?).ok()
    })
}

pub(crate) fn boolean() -> Kind<bool> {
    Kind::new("true or false", |value| value.as_bool())
}

/// A name that can stand in a metric label, a path and a URL without quoting.
pub(crate) fn name(length_max: usize) -> Kind<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    Kind::text(format!("1 to {length_max} characters of A-Z a-z 0-9 . _ -"), move |text| {
        let good = (1..=length_max).contains(&text.len()) && text.bytes().all(plain);
        good.then(|| text.to_owned())
    })
}

/// A name within a sensor's own data: a JSON key, a CSV column.
pub(crate) fn field() -> Kind<String> {
    Kind::text(format!("a name of 1 to {NAME_MAX} bytes without control characters"), to_field)
}

pub(crate) fn fields(count_max: usize) -> Kind<Vec<String>> {
    let allowed = format!("a list of 1 to {count_max} different names of 1 to {NAME_MAX} bytes");
    Kind::new(allowed, move |value| {
        let list = value.as_array()?;
        let read = list.iter().map(|item| to_field(item.get_ref().as_str()?));
        let fields = read.collect::<Option<Vec<_>>>()?;
        let repeats = (1..fields.len()).any(|at| fields[..at].contains(&fields[at]));
        ((1..=count_max).contains(&fields.len()) && !repeats).then_some(fields)
    })
}

pub(crate) fn path() -> Kind<PathBuf> {
    Kind::text("the path of a file", to_path)
}

pub(crate) fn path_absolute() -> Kind<PathBuf> {
    Kind::text("an absolute path, such as \"/dev/ttyUSB0\"", |text| {
        to_path(text).filter(|path| path.is_absolute())
    })
}

pub(crate) fn listen() -> Kind<Option<SocketAddr>> {
    let allowed = "an IP address and port, such as \"127.0.0.1:9437\" or \"[::]:9437\", or \"off\"";
    Kind::text(allowed, |text| match text {
        "off" => Some(None),
        text => text.parse().ok().map(Some),
    })
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
pub(in crate::config) fn either(names: &[String]) -> String {
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

fn to_bytes(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn to_field(text: &str) -> Option<String> {
    let good = (1..=NAME_MAX).contains(&text.len()) && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

pub(crate) fn to_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}
