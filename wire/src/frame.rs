//! What can be said on the line. The order of fields and variants *is* the
//! format: postcard writes them as they stand here.

use serde::{Deserialize, Serialize};

use crate::List;
use crate::list::take;

/// One message. Built to be sent, or borrowed from a [`Deframer`](crate::Deframer).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Frame<'a> {
    /// A sensor describes itself.
    Hello(Hello<'a>),
    /// A sensor tells what it measured.
    Sample(Sample<'a>),
    /// A sensor tells a person something.
    Log(Log<'a>),
}

/// Who the sensor is and what it measures.
///
/// Sent at boot and again about every 10 s, since the receiver may start later
/// than the sensor. It speaks for the channels it lists and for no others, so a
/// sensor with more channels than fit one frame sends several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hello<'a> {
    /// The name of the firmware.
    pub firmware: &'a str,
    /// The version of the firmware, in its own scheme.
    pub version: &'a str,
    /// The channels described.
    pub channels: List<'a, Channel<'a>>,
}

/// One measured quantity of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel<'a> {
    /// What samples call this channel; the sensor's choice, fixed while it runs.
    pub id: u16,
    /// What people call it: lower case with underscores, without the unit
    /// (`air_temperature`), the same from one firmware to the next.
    pub name: &'a str,
    /// The unit as a case-sensitive [UCUM](https://ucum.org) code, SI if there
    /// is a choice: `Cel`, `K`, `%`, `Pa`, `V`, `m/s`, `W.h`; `1` for a plain
    /// number, empty where there is none (`Bool`, `Text`).
    pub unit: &'a str,
    /// The type of its values.
    pub kind: ValueType,
}

/// The type of a channel's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValueType {
    /// [`Value::Bool`]
    Bool,
    /// [`Value::Int`]
    Int,
    /// [`Value::F32`]
    F32,
    /// [`Value::F64`]
    F64,
    /// [`Value::Text`]
    Text,
}

/// Values of one or more channels, observed at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample<'a> {
    /// One more than in the sample before; wraps. A gap tells of lost samples.
    pub seq: u32,
    /// Milliseconds since boot at the instant observed; wraps after 49.7 days.
    pub uptime_ms: u32,
    /// The values, each with its channel's id.
    pub values: List<'a, (u16, Value<'a>)>,
}

/// One value. A sensor that could not read a channel leaves it out of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value<'a> {
    /// A state.
    Bool(bool),
    /// A count or a whole number; small ones take one byte.
    Int(i64),
    /// A measured number: seven digits are more than most sensors have.
    F32(f32),
    /// A measured number that needs more digits, such as a position.
    F64(f64),
    /// A short text, such as an identifier read from a card.
    Text(&'a str),
}

impl Value<'_> {
    /// The type a channel with this value has.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Value::Bool(_) => ValueType::Bool,
            Value::Int(_) => ValueType::Int,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::Text(_) => ValueType::Text,
        }
    }
}

/// A message for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log<'a> {
    /// How much it matters.
    pub level: Level,
    /// The message: one line, without time or level.
    pub text: &'a str,
}

/// How much a [`Log`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Something was lost, or a person is needed.
    Error,
    /// Something is wrong, but nothing was lost.
    Warn,
    /// Something worth knowing happened.
    Info,
    /// Of interest to the firmware's author.
    Debug,
}

/// The tag in front of a body; the variants of [`Frame`] without their content.
#[derive(Deserialize)]
enum Kind {
    Hello,
    Sample,
    Log,
}

impl<'a> Frame<'a> {
    /// Reads a body, all of it. By hand, since serde cannot tell a [`List`]
    /// which bytes are its own.
    pub(crate) fn from_body(mut rest: &'a [u8]) -> postcard::Result<Self> {
        let body = &mut rest;
        let frame = match take(body)? {
            Kind::Hello => Frame::Hello(Hello {
                firmware: take(body)?,
                version: take(body)?,
                channels: List::take(body)?,
            }),
            Kind::Sample => Frame::Sample(Sample {
                seq: take(body)?,
                uptime_ms: take(body)?,
                values: List::take(body)?,
            }),
            Kind::Log => Frame::Log(take(body)?),
        };
        if rest.is_empty() { Ok(frame) } else { Err(postcard::Error::DeserializeBadEncoding) }
    }
}

impl<'a> From<Hello<'a>> for Frame<'a> {
    fn from(hello: Hello<'a>) -> Self {
        Frame::Hello(hello)
    }
}

impl<'a> From<Sample<'a>> for Frame<'a> {
    fn from(sample: Sample<'a>) -> Self {
        Frame::Sample(sample)
    }
}

impl<'a> From<Log<'a>> for Frame<'a> {
    fn from(log: Log<'a>) -> Self {
        Frame::Log(log)
    }
}
