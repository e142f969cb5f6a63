//! JSON lines: one object per reading or event, which says everything about itself.
//!
//! They are read one at a time, so 64 MiB of them need the memory of one.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};
use std::time::UNIX_EPOCH;

use outstation_codec::{CHANNELS_MAX, TEXT_MAX, Value};
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::decode::{self, Cells, Malformed, READINGS_MAX};
use super::events;
use super::intake::Intake;
use super::refusal::Refusal;

/// The most bytes of an upload after decompression.
const BYTES_MAX: usize = 64 << 20;
/// 256 channels with the longest texts still fit.
pub(super) const LINE_BYTES_MAX: usize = 2 << 20;

/// What a line says of a reading; what else it says is for others.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    epoch: u64,
    seq: u64,
    #[serde(borrow)]
    port: Cow<'a, str>,
    #[serde(borrow)]
    sensor: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    values: Values<'a>,
    #[serde(default)]
    clock: ClockState,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClockState {
    #[default]
    Set,
    Unset,
}

pub(super) fn feed(body: impl BufRead, intake: &mut Intake<'_>) -> Result<(), Refusal> {
    let mut body = body.take(BYTES_MAX as u64 + 1);
    let (mut bytes, mut cells) = (Vec::new(), Cells::default());
    for line in 1.. {
        bytes.clear();
        let mut one = body.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        one.read_until(b'\n', &mut bytes).map_err(Malformed::Compression)?;
        if body.limit() == 0 {
            return Err(decode::too_large(BYTES_MAX));
        }
        check_line(line, &bytes)?;
        match bytes.trim_ascii() {
            [] if bytes.is_empty() => break,
            [] => {}
            text => store(line, text, &mut cells, intake)?,
        }
    }
    Ok(())
}

/// Events and empty lines count as readings here: they cost time as well.
fn check_line(line: u64, bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Malformed::LongLine { line });
    }
    if line > READINGS_MAX && !bytes.is_empty() { Err(Malformed::Crowd) } else { Ok(()) }
}

fn store(
    line: u64,
    text: &[u8],
    cells: &mut Cells,
    intake: &mut Intake<'_>,
) -> Result<(), Refusal> {
    let said: Line<'_> = match serde_json::from_slice(text) {
        Ok(said) => said,
        Err(_) if events::is_event(text) => return events::of_line(line, text, intake),
        Err(source) => return Err(Malformed::Line { line, source }.into()),
    };
    decode::check_device(&said.device)?;
    decode::check_seq(said.seq)?;
    [&said.port, &said.sensor].into_iter().try_for_each(|name| decode::check_name(name))?;
    let time_ms = parse_time(&said.time).ok_or(Malformed::Time { line })?;
    intake.device(&said.device, said.epoch)?;
    let sensor = intake.sensor(&said.port, &said.sensor, None)?;
    cells.clear();
    for (name, value) in &said.values.0 {
        cells.push(&decode::key(name), value.as_ref());
    }
    let clock_set = said.clock == ClockState::Set;
    intake.reading(said.seq, sensor, time_ms, clock_set, cells.finish())
}

pub(super) fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// The values by channel, as they came.
struct Values<'a>(Vec<(Cow<'a, str>, Option<Value>)>);

impl<'a, 'de: 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of values by channel")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some((Name(name), Scalar(value))) = map.next_entry()? {
            decode::check_name(&name).map_err(de::Error::custom)?;
            if values.len() == CHANNELS_MAX {
                return Err(de::Error::custom(Malformed::Channels));
            }
            values.push((name, value));
        }
        Ok(Values(values))
    }
}

/// Borrows a key when it holds no escapes, which a bare `Cow` does not.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A number, text, truth or null: anything deeper is refused where it begins.
struct Scalar(Option<Value>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a number, a text of at most {TEXT_MAX} bytes, true, false or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "as every JSON reader with only doubles has it")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).map_or(Value::F64(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::F64(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        if value.len() > TEXT_MAX {
            return Err(E::invalid_value(de::Unexpected::Str("a longer text"), &self));
        }
        Ok(Some(Value::Text(value.into())))
    }
}
