//! The messages on the line. The order of fields and variants *is* the format:
//! postcard writes them in the order in which they are declared here.

use serde::{Deserialize, Serialize};

use crate::List;
use crate::list::take;

/// One message. A sender builds it; a receiver borrows it from a
/// [`Deframer`](crate::Deframer).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Frame<'a> {
    /// A sensor describes itself.
    Hello(Hello<'a>),
    /// A sensor reports measured values.
    Sample(Sample<'a>),
    /// A sensor sends a message for a person.
    Log(Log<'a>),
}

/// The description of a sensor and its channels.
///
/// A sensor sends it at boot and again about every 10 s, since the receiver may
/// start later than the sensor. It describes the channels that it lists and no
/// others, so a sensor with more channels than fit into one frame sends
/// several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hello<'a> {
    /// The name of the firmware.
    pub firmware: &'a str,
    /// The version of the firmware, in its own scheme.
    pub version: &'a str,
    /// The channels that it describes.
    pub channels: List<'a, Channel<'a>>,
}

/// One measured quantity of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel<'a> {
    /// The number by which samples refer to this channel. The sensor chooses it
    /// and keeps it while it runs.
    pub id: u16,
    /// The name for people: lower case with underscores, without the unit
    /// (`air_temperature`), and the same in every version of the firmware.
    pub name: &'a str,
    /// The unit as a case-sensitive [UCUM](https://ucum.org) code, SI if there
    /// is a choice: `Cel`, `K`, `%`, `Pa`, `V`, `m/s`, `W.h`; `1` for a plain
    /// number, empty for a type without a unit (`Bool`, `Text`).
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
    /// The sequence number, one more than in the sample before; it wraps. A gap
    /// shows that samples were lost.
    pub seq: u32,
    /// The moment of observation in milliseconds since boot; it wraps after
    /// 49.7 days.
    pub uptime_ms: u32,
    /// The values, each with the id of its channel.
    pub values: List<'a, (u16, Value<'a>)>,
}

/// One value. A sensor that could not read a channel leaves it out of the
/// sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value<'a> {
    /// A state.
    Bool(bool),
    /// A count or a whole number; small ones take one byte.
    Int(i64),
    /// A measured number; its seven digits are more than most sensors have.
    F32(f32),
    /// A measured number that needs more digits, such as a position.
    F64(f64),
    /// A short text, such as an identifier read from a card.
    Text(&'a str),
}

impl Value<'_> {
    /// The type of a channel that has this value.
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
    /// The severity.
    pub level: Level,
    /// The message: one line, without time or level.
    pub text: &'a str,
}

/// The severity of a [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Something was lost, or a person is needed.
    Error,
    /// Something is wrong, but nothing was lost.
    Warn,
    /// Something happened that is worth knowing.
    Info,
    /// A detail for the author of the firmware.
    Debug,
}

/// The tag in front of a body: the variants of [`Frame`] without their content.
#[derive(Deserialize)]
enum Kind {
    Hello,
    Sample,
    Log,
}

impl<'a> Frame<'a> {
    /// Reads a frame from a body, and all of the body. This is written by hand,
    /// because serde cannot tell a [`List`] which bytes belong to it.
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
