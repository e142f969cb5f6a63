//! Parses one line of JSON, key-value or CSV into fields, each with its role. Sensors and channels are left
//! to `decoder.rs`.
//!
//! A number keeps the type in which it was written: `20` is an integer, `20.5` a double. Nested JSON is
//! flattened with dots (`{"bme":{"t":1}}` is channel `bme.t`). `null` and empty fields are absent.

use std::borrow::Cow;
use std::fmt;

use outstation_codec::{CHANNELS_MAX, Fault, NAME_MAX, TEXT_MAX, Value};
use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::config::TimeUnit;

/// The most distinct field names of one port. It is more than one sensor can have, because sensors may
/// differ in their channels.
const KEYS_MAX: usize = 4 * CHANNELS_MAX;
/// The last moment of the year 9999, where RFC 3339 ends.
const YEAR_9999_MS: i64 = 253_402_300_799_999;
/// The deepest nesting of JSON that is accepted.
const DEPTH_MAX: usize = 8;

/// What a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sensor,
    Time,
    Sequence,
    Channel,
}

/// The value of a field as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// The fields of the current line, and all names of fields seen on this port.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) names: Vec<(String, Role)>,
    time_unit: TimeUnit,
    /// The values of channels, each with the index of its name.
    pub(super) cells: Vec<(u16, Value)>,
    pub(super) sensor: String,
    pub(super) time_ms: Option<i64>,
    pub(super) sequence: Option<u64>,
    /// The index of the name that is expected next: lines repeat their fields in the same order.
    hint: usize,
}

impl Fields {
    pub(super) fn new(
        sensor_key: Option<&str>,
        time_key: Option<(&str, TimeUnit)>,
        sequence_key: Option<&str>,
    ) -> Self {
        let mut names = Vec::new();
        let keys = [
            (sensor_key, Role::Sensor),
            (time_key.map(|(key, _)| key), Role::Time),
            (sequence_key, Role::Sequence),
        ];
        for (key, role) in keys {
            names.extend(key.map(|key| (key.to_owned(), role)));
        }
        Self {
            names,
            time_unit: time_key.map_or(TimeUnit::Seconds, |(_, unit)| unit),
            cells: Vec::new(),
            sensor: String::new(),
            time_ms: None,
            sequence: None,
            hint: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.sensor.clear();
        self.time_ms = None;
        self.sequence = None;
        self.hint = 0;
    }

    /// The index of a field name. A new name is added as a channel.
    pub(super) fn place(&mut self, name: &str) -> Result<usize, Fault> {
        if self.names.get(self.hint).is_some_and(|(known, _)| known == name) {
            self.hint += 1;
            return Ok(self.hint - 1);
        }
        let known = self.names.iter().position(|(known, _)| known == name);
        let at = known.map_or_else(|| self.learn(name), Ok)?;
        self.hint = at + 1;
        Ok(at)
    }

    fn learn(&mut self, name: &str) -> Result<usize, Fault> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Fault::Unparsable);
        }
        if self.names.len() >= KEYS_MAX {
            return Err(Fault::TooMany);
        }
        self.names.push((name.to_owned(), Role::Channel));
        Ok(self.names.len() - 1)
    }

    pub(super) fn put(&mut self, place: usize, raw: Raw<'_>) -> Result<(), Fault> {
        match self.names[place].1 {
            Role::Channel => self.put_cell(place, raw)?,
            Role::Sensor => self.put_sensor(&raw)?,
            Role::Time => self.time_ms = time_ms(&raw, self.time_unit),
            Role::Sequence => {
                let Raw::Int(number) = raw else { return Err(Fault::Unparsable) };
                self.sequence = u64::try_from(number).ok();
            }
        }
        Ok(())
    }

    fn put_cell(&mut self, place: usize, raw: Raw<'_>) -> Result<(), Fault> {
        let value = match raw {
            Raw::Absent => return Ok(()),
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::F64(value),
            Raw::Text(text) if text.len() > TEXT_MAX => return Err(Fault::Unparsable),
            Raw::Text(text) => Value::Text(text.into()),
        };
        let index = u16::try_from(place).map_err(|_| Fault::TooMany)?;
        match self.cells.iter_mut().find(|(known, _)| *known == index) {
            Some(cell) => cell.1 = value, // a field given twice: the last one counts
            None => self.cells.push((index, value)),
        }
        Ok(())
    }

    fn put_sensor(&mut self, raw: &Raw<'_>) -> Result<(), Fault> {
        use fmt::Write as _;
        self.sensor.clear();
        let written = match raw {
            Raw::Text(text) => self.sensor.write_str(text),
            Raw::Int(number) => write!(self.sensor, "{number}"),
            Raw::Absent => Ok(()),
            Raw::Bool(_) | Raw::Float(_) => return Err(Fault::Unparsable),
        };
        let short = self.sensor.len() <= NAME_MAX;
        written.ok().filter(|()| short).ok_or(Fault::Unparsable)
    }
}

/// The value of a time field in Unix milliseconds. `None` if it is no date before the year 10000, as when
/// milliseconds are read as seconds.
fn time_ms(raw: &Raw<'_>, unit: TimeUnit) -> Option<i64> {
    unix_ms(raw, unit).filter(|ms| (0..=YEAR_9999_MS).contains(ms))
}

/// Converts a number in the configured unit, or a text of RFC 3339.
fn unix_ms(raw: &Raw<'_>, unit: TimeUnit) -> Option<i64> {
    match raw {
        Raw::Int(number) => match unit {
            TimeUnit::Seconds => number.checked_mul(1000),
            TimeUnit::Milliseconds => Some(*number),
            TimeUnit::Microseconds => Some(number.div_euclid(1000)),
        },
        Raw::Float(number) => {
            let scale = match unit {
                TimeUnit::Seconds => 1e3,
                TimeUnit::Milliseconds => 1.0,
                TimeUnit::Microseconds => 1e-3,
            };
            let ms = (number * scale).round();
            #[expect(clippy::cast_possible_truncation, reason = "a double holds these exactly")]
            (ms.abs() < 9e15).then_some(ms as i64)
        }
        Raw::Text(text) => {
            let time = humantime::parse_rfc3339_weak(text).ok()?;
            let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_millis()).ok()
        }
        Raw::Absent | Raw::Bool(_) => None,
    }
}

pub(super) fn parse_json(line: &str, fields: &mut Fields) -> Result<(), Fault> {
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let object = Object { fields, fault: &mut fault };
    let parsed = deserializer.deserialize_map(object).and_then(|()| deserializer.end());
    match (parsed, fault) {
        (_, Some(fault)) => Err(fault),
        (Err(_), None) => Err(Fault::Unparsable),
        (Ok(()), None) => Ok(()),
    }
}

/// The visitor of the top-level object.
struct Object<'f> {
    fields: &'f mut Fields,
    fault: &'f mut Option<Fault>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Name(self.fields))? {
            match place {
                Ok(place) => map.next_value_seed(Field {
                    place,
                    depth: 0,
                    fields: self.fields,
                    fault: self.fault,
                })?,
                Err(fault) => {
                    self.fault.get_or_insert(fault);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field. It is looked up in the line itself, so a known name is not copied.
struct Name<'f>(&'f mut Fields);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Result<usize, Fault>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Result<usize, Fault>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.place(name))
    }
}

/// The value of a field, or a nested structure to flatten.
struct Field<'f> {
    place: usize,
    depth: usize,
    fields: &'f mut Fields,
    fault: &'f mut Option<Fault>,
}

impl Field<'_> {
    fn put<E>(self, raw: Raw<'_>) -> Result<(), E> {
        if let Err(fault) = self.fields.put(self.place, raw) {
            self.fault.get_or_insert(fault);
        }
        Ok(())
    }

    /// The nested field `name`. `None` if the nesting is too deep or there are too many names.
    fn nested(&mut self, name: impl fmt::Display) -> Option<Field<'_>> {
        let name = format!("{}.{name}", self.fields.names[self.place].0);
        let place = match self.fields.place(&name) {
            Ok(place) if self.depth < DEPTH_MAX => place,
            other => {
                self.fault.get_or_insert(other.err().unwrap_or(Fault::Unparsable));
                return None;
            }
        };
        Some(Field { place, depth: self.depth + 1, fields: self.fields, fault: self.fault })
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Raw::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(Raw::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond i64 only a double is left")]
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(Raw::Text(value.into()))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.nested(key) {
                Some(field) => map.next_value_seed(field)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            if items.next_element_seed(Item { array: &mut self, index })?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// One element of an array. Its name is looked up when there is an element, so that the end of an array takes
/// no name.
struct Item<'a, 'f> {
    array: &'a mut Field<'f>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.array.nested(self.index) {
            Some(field) => field.deserialize(deserializer),
            None => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

/// Parses `name=value` or `name:value`, separated by blanks, commas or semicolons.
pub(super) fn parse_key_value(line: &str, fields: &mut Fields) -> Result<(), Fault> {
    let separators = |char: char| char.is_whitespace() || char == ',' || char == ';';
    for pair in line.split(separators).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(['=', ':']).ok_or(Fault::Unparsable)?;
        let place = fields.place(name)?;
        fields.put(place, plain(value))?;
    }
    Ok(())
}

/// Parses one field per configured column. A header line that repeats the names of the columns counts as a
/// line without a value.
pub(super) fn parse_csv(
    line: &str,
    columns: &[String],
    delimiter: char,
    fields: &mut Fields,
) -> Result<(), Fault> {
    if line.split(delimiter).map(str::trim).eq(columns.iter().map(String::as_str)) {
        return Err(Fault::NoValue);
    }
    let mut texts = line.split(delimiter);
    for column in columns {
        let text = texts.next().ok_or(Fault::Unparsable)?;
        let place = fields.place(column)?;
        fields.put(place, plain(text))?;
    }
    texts.next().map_or(Ok(()), |_| Err(Fault::Unparsable))
}

/// Parses a word: as a number if it looks like one, else as a truth value, else as text.
fn plain(text: &str) -> Raw<'_> {
    let text = text.trim().trim_matches('"');
    if text.is_empty() {
        return Raw::Absent;
    }
    // A number must start like one: `inf` and `nan` are text.
    if text.starts_with(|char: char| char.is_ascii_digit() || "+-.".contains(char)) {
        if let Ok(number) = text.parse() {
            return Raw::Int(number);
        }
        if let Some(number) = text.parse().ok().filter(|number: &f64| number.is_finite()) {
            return Raw::Float(number);
        }
    }
    match text {
        "true" => Raw::Bool(true),
        "false" => Raw::Bool(false),
        _ => Raw::Text(text.into()),
    }
}
