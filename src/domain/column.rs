//! One column of a segment: the times of a sensor, or the values of one of its channels.
//!
//! Numbers are forecast from their past, and only the surprise is coded. Floats that are
//! short decimals, as nearly all sensor output is, become integers of a common scale: 21.37 is
//! 2137 at scale 2. Others are coded as the bits that changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::coder::{Byte, Decoder, Encoder, Number};
use super::decimal::{POWERS, SCALE_MAX, as_decimal32, as_decimal64, decimals};
use super::forecast::{Forecast, PREDICTORS, Predictor, cheapest};
use super::reading::{Value, ValueType};

/// A decoded text is at most this long; encoders are held to it as well.
pub const TEXT_MAX: usize = 4096;

/// The code of a mixed column, behind the last decimal.
const MIXED: u64 = 25;

/// The models of one kind of integer column, and where the last such column began.
#[derive(Debug)]
pub struct Ints {
    predictor: Number,
    base: Number,
    span: Number,
    surprise: Number,
    origin: i64,
}

impl Ints {
    pub const NEW: Self = Self {
        predictor: Number::NEW,
        base: Number::NEW,
        span: Number::NEW,
        surprise: Number::NEW,
        origin: 0,
    };

    pub fn put(&mut self, encoder: &mut Encoder, values: &[i64]) {
        if values.is_empty() {
            return;
        }
        let predictor = cheapest(values);
        let mut forecast = Forecast::of(predictor, values);
        self.predictor.put(encoder, predictor as u64);
        self.base.put_signed(encoder, forecast.base.wrapping_sub(self.origin));
        self.origin = forecast.base;
        if predictor == Predictor::Line {
            self.span.put_signed(encoder, forecast.span);
        }
        for (index, &value) in values.iter().enumerate().skip(forecast.starts_at()) {
            self.surprise.put_signed(encoder, value.wrapping_sub(forecast.at(index)));
            forecast.observe(value);
        }
    }

    pub fn get(&mut self, decoder: &mut Decoder<'_>, count: usize) -> Vec<i64> {
        if count == 0 {
            return Vec::new();
        }
        let predictor = PREDICTORS[(self.predictor.get(decoder) & 3) as usize];
        self.origin = self.origin.wrapping_add(self.base.get_signed(decoder));
        let span = if predictor == Predictor::Line { self.span.get_signed(decoder) } else { 0 };
        let mut forecast = Forecast::new(predictor, self.origin, span, count);
        let mut values = Vec::with_capacity(count);
        if forecast.starts_at() == 1 {
            values.push(self.origin);
        }
        while values.len() < count {
            let surprise = self.surprise.get_signed(decoder);
            let value = forecast.at(values.len()).wrapping_add(surprise);
            forecast.observe(value);
            values.push(value);
        }
        values
    }
}

/// How the values of a column are written; the number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Bool,
    Int,
    F64,
    F32,
    Text,
    Decimal64(u8),
    Decimal32(u8),
    /// Several types: which each value has, then the values of each type as columns of their own.
    Mixed,
}

/// The kinds in a mixed column, by the number they are written as.
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
            _ => {
                let scale =
                    u8::try_from((code - 5) / 2).ok().filter(|scale| *scale <= SCALE_MAX)?;
                if code % 2 == 1 { Self::Decimal64(scale) } else { Self::Decimal32(scale) }
            }
        })
    }
}

/// The models of value columns. Sensors of one kind share them by channel position: ten equal
/// thermometers teach one model, ten channels of one station each have their own.
#[derive(Debug)]
pub struct Values {
    layout: Number,
    kind: Number,
    ints: Ints,
    index: Number,
    length: Number,
    bytes: Box<[Byte; 8]>,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            layout: Number::NEW,
            kind: Number::NEW,
            ints: Ints::NEW,
            index: Number::NEW,
            length: Number::NEW,
            bytes: Box::new([Byte::NEW; 8]),
        }
    }
}

impl Values {
    /// Writes the column; `scratch` is reused between columns.
    pub fn put(&mut self, encoder: &mut Encoder, values: &[Value], scratch: &mut Vec<i64>) {
        let layout = layout_of(values, scratch);
        self.layout.put(encoder, layout.code());
        match layout {
            Layout::Mixed => self.put_mixed(encoder, values, scratch),
            Layout::Text => self.put_texts(encoder, values),
            Layout::F64 => self.put_floats(encoder, values, 8, |value| as_f64(value).to_bits()),
            Layout::F32 => {
                self.put_floats(encoder, values, 4, |value| u64::from(as_f32(value).to_bits()));
            }
            _ => self.ints.put(encoder, scratch),
        }
    }

    /// Reads `count` values, or says that no encoder wrote this. Distinct texts are paid for out
    /// of `text_budget`, in bytes.
    pub fn get(
        &mut self,
        decoder: &mut Decoder<'_>,
        count: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Value>> {
        let layout = Layout::from_code(self.layout.get(decoder))?;
        Some(match layout {
            Layout::Mixed => return self.get_mixed(decoder, count, text_budget),
            Layout::Text => return self.get_texts(decoder, count, text_budget),
            Layout::F64 => {
                self.get_floats(decoder, count, 8, |bits| Value::F64(f64::from_bits(bits)))
            }
            Layout::F32 => self.get_floats(decoder, count, 4, |bits| {
                Value::F32(f32::from_bits(u32::try_from(bits).unwrap_or(0)))
            }),
            _ => {
                self.ints.get(decoder, count).into_iter().map(|int| from_int(layout, int)).collect()
            }
        })
    }

    fn put_mixed(&mut self, encoder: &mut Encoder, values: &[Value], scratch: &mut Vec<i64>) {
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
        decoder: &mut Decoder<'_>,
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
            // An encoder mixes at least two types: a column inside a column has only one.
            if own == count {
                return None;
            }
            let values = if own == 0 { Vec::new() } else { self.get(decoder, own, text_budget)? };
            columns.push(values.into_iter());
        }
        kinds.into_iter().map(|kind| columns[kind as usize].next()).collect()
    }

    fn put_floats(
        &mut self,
        encoder: &mut Encoder,
        values: &[Value],
        width: usize,
        bits: impl Fn(&Value) -> u64,
    ) {
        let mut previous = 0;
        for value in values {
            let now = bits(value);
            for (at, model) in self.bytes[..width].iter_mut().enumerate() {
                model.put(encoder, (now ^ previous).to_le_bytes()[at]);
            }
            previous = now;
        }
    }

    fn get_floats(
        &mut self,
        decoder: &mut Decoder<'_>,
        count: usize,
        width: usize,
        value: impl Fn(u64) -> Value,
    ) -> Vec<Value> {
        let mut previous = 0;
        let mut next = || {
            let mut changed = [0; 8];
            for (byte, model) in changed.iter_mut().zip(&mut self.bytes[..width]) {
                *byte = model.get(decoder);
            }
            previous ^= u64::from_le_bytes(changed);
            value(previous)
        };
        (0..count).map(|_| next()).collect()
    }

    /// Each distinct text is spelled once; later ones say which it was.
    fn put_texts(&mut self, encoder: &mut Encoder, values: &[Value]) {
        let mut known = HashMap::new();
        for value in values {
            let text = as_text(value);
            let next = known.len() as u64 + 1;
            let at = *known.entry(text).or_insert(next);
            self.index.put(encoder, if at == next { 0 } else { at });
            if at == next {
                self.length.put(encoder, text.len() as u64);
                text.bytes().for_each(|byte| self.bytes[0].put(encoder, byte));
            }
        }
    }

    fn get_texts(
        &mut self,
        decoder: &mut Decoder<'_>,
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

    fn spell(&mut self, decoder: &mut Decoder<'_>, length: usize) -> Option<Arc<str>> {
        if length > TEXT_MAX {
            return None;
        }
        let bytes = (0..length).map(|_| self.bytes[0].get(decoder)).collect();
        String::from_utf8(bytes).ok().map(Arc::from)
    }
}

/// The layout that holds every value exactly; integers land in `ints`.
///
/// Integers among floats (`20`, then `20.5`) become floats as long as they stay the same number.
/// Other mixtures keep each value's type: one odd line must not change its neighbours.
fn layout_of(values: &[Value], ints: &mut Vec<i64>) -> Layout {
    ints.clear();
    let all = |kinds: &[ValueType]| values.iter().all(|value| kinds.contains(&value.kind()));
    if all(&[ValueType::Bool]) {
        ints.extend(values.iter().map(|value| i64::from(*value == Value::Bool(true))));
        Layout::Bool
    } else if all(&[ValueType::Int]) {
        ints.extend(values.iter().filter_map(|value| match value {
            Value::Int(int) => Some(*int),
            _ => None,
        }));
        Layout::Int
    } else if all(&[ValueType::F32]) {
        decimals(values, ints, |value, power| as_decimal32(as_f32(value), power))
            .map_or(Layout::F32, Layout::Decimal32)
    } else if all(&[ValueType::Int, ValueType::F64]) && values.iter().all(survives_as_float) {
        decimals(values, ints, |value, power| as_decimal64(as_f64(value), power))
            .map_or(Layout::F64, Layout::Decimal64)
    } else if all(&[ValueType::Text]) {
        Layout::Text
    } else {
        Layout::Mixed
    }
}

fn survives_as_float(value: &Value) -> bool {
    match value {
        Value::Int(int) => int.unsigned_abs() <= 1 << 53,
        _ => true,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the inverse of `as_decimal64` and `as_decimal32`"
)]
fn from_int(layout: Layout, int: i64) -> Value {
    match layout {
        Layout::Bool => Value::Bool(int != 0),
        Layout::Decimal64(scale) => Value::F64(int as f64 / POWERS[usize::from(scale)]),
        Layout::Decimal32(scale) => Value::F32((int as f64 / POWERS[usize::from(scale)]) as f32),
        _ => Value::Int(int),
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
