//! Encodes one column of a segment: the times of a sensor, or the values of one of its channels.
//!
//! Numbers are forecast from the values before them, and only the difference from the forecast (the
//! surprise) is coded. Floats that are short decimals, as nearly all sensor output is, become integers of a
//! common scale: 21.37 is 2137 at scale 2. Of other floats the changed bits are coded.

use std::collections::HashMap;
use std::sync::Arc;

use super::decimal::{POWERS, SCALE_MAX, as_decimal32, as_decimal64, decimals};
use super::integers::IntegerModels;
use super::range_coder::{Bit, Byte, Number, RangeDecoder, RangeEncoder};
use crate::value::{Value, ValueType};

/// The length of the longest text in bytes. A decoder refuses longer ones, so an encoder must not be given
/// any.
pub const TEXT_MAX: usize = 4096;

/// The codes of the two mixed layouts, behind the code of the last decimal layout.
const MIXED: u64 = 25;
const AMONG: u64 = 26;

/// The layout of the values of a column. Its code is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Bool,
    Int,
    F64,
    F32,
    Text,
    Decimal64(u8),
    Decimal32(u8),
    /// Values of several types: first the type of each value, then the values of each type as columns of
    /// their own.
    Mixed,
    /// Integers among doubles: all values as doubles, then for each whole one whether it is an integer.
    Among,
}

/// The types in a mixed column, in the order of their codes.
const KINDS: [ValueType; 5] =
    [ValueType::Bool, ValueType::Int, ValueType::F32, ValueType::F64, ValueType::Text];

impl Layout {
    fn code(self) -> u64 {
        match self {
            Self::Bool => 0,
            Self::Int => 1,
            Self::F64 => 2,
            Self::F32 => 3,
            Self::Text => 4,
            Self::Decimal64(scale) => 5 + 2 * u64::from(scale),
            Self::Decimal32(scale) => 6 + 2 * u64::from(scale),
            Self::Mixed => MIXED,
            Self::Among => AMONG,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::Bool,
            1 => Self::Int,
            2 => Self::F64,
            3 => Self::F32,
            4 => Self::Text,
            MIXED => Self::Mixed,
            AMONG => Self::Among,
            _ => {
                let scale =
                    u8::try_from((code - 5) / 2).ok().filter(|scale| *scale <= SCALE_MAX)?;
                if code % 2 == 1 { Self::Decimal64(scale) } else { Self::Decimal32(scale) }
            }
        })
    }
}

/// The models of value columns. Sensors of one kind share them by channel position: ten equal thermometers
/// train one model, and the ten channels of one station have one each.
#[derive(Debug)]
pub(super) struct Values {
    layout: Number,
    kind: Number,
    integer: Bit,
    integers: IntegerModels,
    index: Number,
    length: Number,
    /// The models of bytes. They are created for the columns that need them, because most segments have
    /// only decimals.
    bytes: Vec<Byte>,
}

impl Values {
    pub(super) const NEW: Self = Self {
        layout: Number::NEW,
        kind: Number::NEW,
        integer: Bit::NEW,
        integers: IntegerModels::NEW,
        index: Number::NEW,
        length: Number::NEW,
        bytes: Vec::new(),
    };

    /// Writes a column; `scratch` is memory that is used again for the next.
    pub(super) fn put(
        &mut self,
        encoder: &mut RangeEncoder,
        values: &[Value],
        scratch: &mut Vec<i64>,
    ) {
        let layout = layout_of(values, scratch);
        self.layout.put(encoder, layout.code());
        match layout {
            Layout::Mixed => self.put_mixed(encoder, values, scratch),
            Layout::Among => self.put_among(encoder, values, scratch),
            Layout::Text => self.put_texts(encoder, values),
            Layout::F64 => self.put_floats(encoder, values, 8, |value| as_f64(value).to_bits()),
            Layout::F32 => {
                self.put_floats(encoder, values, 4, |value| u64::from(as_f32(value).to_bits()));
            }
            _ => self.integers.put(encoder, scratch),
        }
    }

    /// Reads `count` values. Returns `None` if no encoder could have written these bytes. The bytes of
    /// distinct texts are taken from `text_budget`.
    pub(super) fn get(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        count: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Value>> {
        match Layout::from_code(self.layout.get(decoder))? {
            Layout::Mixed => self.get_mixed(decoder, count, text_budget),
            Layout::Among => self.get_among(decoder, count),
            layout => self.get_plain(decoder, layout, count, text_budget),
        }
    }

    /// Reads a column of one plain layout. Mixed layouts consist of plain ones and never of each other;
    /// otherwise bytes could nest them until the stack overflows.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the inverse of `as_decimal64` and `as_decimal32`"
    )]
    fn get_plain(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        layout: Layout,
        count: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Value>> {
        let integers = &mut self.integers;
        Some(match layout {
            Layout::Mixed | Layout::Among => return None,
            Layout::Text => return self.get_texts(decoder, count, text_budget),
            Layout::F64 => {
                self.get_floats(decoder, count, 8, |bits| Value::F64(f64::from_bits(bits)))
            }
            Layout::F32 => self.get_floats(decoder, count, 4, |bits| {
                Value::F32(f32::from_bits(u32::try_from(bits).unwrap_or(0)))
            }),
            Layout::Bool => integers.get(decoder, count, |int| Value::Bool(int != 0)),
            Layout::Int => integers.get(decoder, count, Value::Int),
            Layout::Decimal64(scale) => {
                let power = POWERS[usize::from(scale)];
                integers.get(decoder, count, |int| Value::F64(int as f64 / power))
            }
            Layout::Decimal32(scale) => {
                let power = POWERS[usize::from(scale)];
                integers.get(decoder, count, |int| Value::F32((int as f64 / power) as f32))
            }
        })
    }

    fn put_mixed(&mut self, encoder: &mut RangeEncoder, values: &[Value], scratch: &mut Vec<i64>) {
        for value in values {
            self.kind.put(encoder, value.kind() as u64);
        }
        for kind in KINDS {
            let own: Vec<Value> =
                values.iter().filter(|value| value.kind() == kind).cloned().collect();
            if !own.is_empty() {
                self.put(encoder, &own, scratch);
            }
        }
    }

    fn get_mixed(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        count: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Value>> {
        let mut kinds = Vec::with_capacity(count);
        for _ in 0..count {
            kinds.push(*KINDS.get(usize::try_from(self.kind.get(decoder)).ok()?)?);
        }
        let mut columns = Vec::new();
        for kind in KINDS {
            let own = kinds.iter().filter(|at| **at == kind).count();
            // An encoder uses this layout only for two types or more, so no type has all values.
            if own == count {
                return None;
            }
            let mut values = Vec::new();
            if own > 0 {
                let layout = Layout::from_code(self.layout.get(decoder))?;
                values = self.get_plain(decoder, layout, own, text_budget)?;
            }
            columns.push(values.into_iter());
        }
        kinds.into_iter().map(|kind| columns[kind as usize].next()).collect()
    }

    /// Writes integers among doubles. Sensors print `20` between `19.9` and `20.1`: of the whole values
    /// nearly all are integers, or none.
    fn put_among(&mut self, encoder: &mut RangeEncoder, values: &[Value], scratch: &mut Vec<i64>) {
        let floats: Vec<Value> = values.iter().map(|value| Value::F64(as_f64(value))).collect();
        self.put(encoder, &floats, scratch);
        for (value, float) in values.iter().zip(&floats) {
            if whole(float).is_some() {
                encoder.bit(&mut self.integer, value.kind() == ValueType::Int);
            }
        }
    }

    fn get_among(&mut self, decoder: &mut RangeDecoder<'_>, count: usize) -> Option<Vec<Value>> {
        let layout = Layout::from_code(self.layout.get(decoder))?;
        let mut values = self.get_plain(decoder, layout, count, &mut 0)?;
        for value in &mut values {
            if let Some(int) = whole(value) {
                if decoder.bit(&mut self.integer) {
                    *value = Value::Int(int);
                }
            }
        }
        Some(values)
    }

    fn bytes(&mut self, width: usize) -> &mut [Byte] {
        if self.bytes.len() < width {
            self.bytes.resize(width, Byte::NEW);
        }
        &mut self.bytes[..width]
    }

    fn put_floats(
        &mut self,
        encoder: &mut RangeEncoder,
        values: &[Value],
        width: usize,
        bits: impl Fn(&Value) -> u64,
    ) {
        let (mut previous, models) = (0, self.bytes(width));
        for value in values {
            let now = bits(value);
            for (byte, model) in (now ^ previous).to_le_bytes().into_iter().zip(&mut *models) {
                model.put(encoder, byte);
            }
            previous = now;
        }
    }

    fn get_floats(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        count: usize,
        width: usize,
        value: impl Fn(u64) -> Value,
    ) -> Vec<Value> {
        let (mut previous, models) = (0, self.bytes(width));
        let mut next = || {
            let mut changed = [0; 8];
            for (byte, model) in changed.iter_mut().zip(&mut *models) {
                *byte = model.get(decoder);
            }
            previous ^= u64::from_le_bytes(changed);
            value(previous)
        };
        (0..count).map(|_| next()).collect()
    }

    /// Writes texts. Each distinct text is spelled once; repeats refer to it by its index.
    fn put_texts(&mut self, encoder: &mut RangeEncoder, values: &[Value]) {
        let mut known = HashMap::new();
        for value in values {
            let text = as_text(value);
            let next = known.len() as u64 + 1;
            let at = *known.entry(text).or_insert(next);
            self.index.put(encoder, if at == next { 0 } else { at });
            if at == next {
                self.length.put(encoder, text.len() as u64);
                let model = &mut self.bytes(1)[0];
                text.bytes().for_each(|byte| model.put(encoder, byte));
            }
        }
    }

    fn get_texts(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        count: usize,
        budget: &mut usize,
    ) -> Option<Vec<Value>> {
        let mut known: Vec<Arc<str>> = Vec::new();
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let index = usize::try_from(self.index.get(decoder)).ok()?;
            if index == 0 {
                let length = usize::try_from(self.length.get(decoder)).ok()?;
                *budget = budget.checked_sub(length)?;
                known.push(self.spell(decoder, length)?);
            }
            let text = if index == 0 { known.last()? } else { known.get(index - 1)? };
            values.push(Value::Text(Arc::clone(text)));
        }
        Some(values)
    }

    fn spell(&mut self, decoder: &mut RangeDecoder<'_>, length: usize) -> Option<Arc<str>> {
        if length > TEXT_MAX {
            return None;
        }
        let model = &mut self.bytes(1)[0];
        let bytes = (0..length).map(|_| model.get(decoder)).collect();
        String::from_utf8(bytes).ok().map(Arc::from)
    }
}

/// Chooses the layout that keeps every value exactly, with its type: one odd line must not change its
/// neighbours, and one column must not change those that are merged with it. The values as integers are
/// left in `ints`.
fn layout_of(values: &[Value], ints: &mut Vec<i64>) -> Layout {
    const BOOL: u8 = 1 << ValueType::Bool as u8;
    const INT: u8 = 1 << ValueType::Int as u8;
    const F32: u8 = 1 << ValueType::F32 as u8;
    const F64: u8 = 1 << ValueType::F64 as u8;
    const TEXT: u8 = 1 << ValueType::Text as u8;
    const AMONG: u8 = INT | F64;
    ints.clear();
    match values.iter().fold(0, |kinds, value| kinds | 1 << value.kind() as u8) {
        BOOL => {
            ints.extend(values.iter().map(|value| i64::from(*value == Value::Bool(true))));
            Layout::Bool
        }
        INT => {
            ints.extend(values.iter().map(as_int));
            Layout::Int
        }
        F32 => decimals(values, ints, |value, power| as_decimal32(as_f32(value), power))
            .map_or(Layout::F32, Layout::Decimal32),
        F64 => decimals(values, ints, |value, power| as_decimal64(as_f64(value), power))
            .map_or(Layout::F64, Layout::Decimal64),
        TEXT => Layout::Text,
        AMONG if values.iter().all(survives_as_float) => Layout::Among,
        _ => Layout::Mixed,
    }
}

fn survives_as_float(value: &Value) -> bool {
    match value {
        Value::Int(int) => int.unsigned_abs() <= 1 << 53,
        _ => true,
    }
}

/// The integer that a whole double may stand for.
#[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::F64(float) if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 => {
            Some(*float as i64)
        }
        _ => None,
    }
}

fn as_int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        _ => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "only integers that survive it come here")]
fn as_f64(value: &Value) -> f64 {
    match value {
        Value::F64(float) => *float,
        Value::Int(int) => *int as f64,
        _ => f64::NAN,
    }
}

fn as_f32(value: &Value) -> f32 {
    match value {
        Value::F32(float) => *float,
        _ => f32::NAN,
    }
}

fn as_text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}
