//! Reads JSON lines: one object per reading or event, which is complete in itself.
//!
//! The lines are read one at a time, so 64 MiB of them need only the memory of one.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};

use outstation_codec::{CHANNELS_MAX, TEXT_MAX, Value};
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::cells::{Cells, key};
use super::events;
use super::intake::IntakeTransaction;
use super::limits::{LINE_BYTES_MAX, Malformed, READINGS_MAX, check_device, check_name, check_seq};
use super::line_time::{ClockState, parse_time};
use super::refusal::UploadRefusal;

/// The largest size of an upload after decompression.
const BYTES_MAX: usize = 64 << 20;

/// The fields of a reading; all others are ignored.
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

/// Stores the reading or event of each line.
pub(super) fn feed(
    body: impl BufRead,
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    let mut body = body.take(BYTES_MAX as u64 + 1);
    let (mut bytes, mut cells) = (Vec::new(), Cells::default());
    for line in 1.. {
        bytes.clear();
        let mut one = body.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        one.read_until(b'\n', &mut bytes).map_err(Malformed::Compression)?;
        if body.limit() == 0 {
            return Err(UploadRefusal::inflated(BYTES_MAX));
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

/// Checks the length of a line and the number of lines. Events and empty lines count as readings here,
/// since they take time as well.
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
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    let said: Line<'_> = match serde_json::from_slice(text) {
        Ok(said) => said,
        Err(_) if events::is_event(text) => return events::of_line(line, text, intake),
        Err(source) => return Err(Malformed::Line { line, source }.into()),
    };
    check_device(&said.device)?;
    check_seq(said.seq)?;
    [&said.port, &said.sensor].into_iter().try_for_each(|name| check_name(name))?;
    let time_ms = parse_time(&said.time).ok_or(Malformed::Time { line })?;
    intake.device(&said.device, said.epoch)?;
    let sensor = intake.sensor(&said.port, &said.sensor, None)?;
    cells.clear();
    for (name, value) in &said.values.0 {
        cells.push(&key(name), value.as_ref());
    }
    let clock_set = said.clock == ClockState::Set;
    intake.reading(said.seq, sensor, time_ms, clock_set, cells.finish())
}

/// The values by channel, in the order in which they came.
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
            check_name(&name).map_err(de::Error::custom)?;
            if values.len() == CHANNELS_MAX {
                return Err(de::Error::custom(Malformed::Channels));
            }
            values.push((name, value));
        }
        Ok(Values(values))
    }
}

/// A key. It borrows a text without escapes, which a bare `Cow` does not.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A number, text, boolean or null. Arrays and objects are refused at their first character.
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
