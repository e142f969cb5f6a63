//! What only bodies of version 1 need: logs written by it stay readable.
//!
//! Such a body has one group, whose number it does not say, and codes every integer column as
//! below. All else is as in the present version; nothing writes this one.

use super::forecast::{PREDICTORS, Predictor};
use super::range_coder::{Decoder, Number};

#[derive(Debug)]
pub struct Integers {
    predictor: Number,
    base: Number,
    span: Number,
    surprise: Number,
    origin: i64,
}

impl Default for Integers {
    fn default() -> Self {
        let [predictor, base, span, surprise] = [const { Number::NEW }; 4];
        Self { predictor, base, span, surprise, origin: 0 }
    }
}

impl Integers {
    pub fn get(&mut self, decoder: &mut Decoder<'_>, count: usize) -> Vec<i64> {
        if count == 0 {
            return Vec::new();
        }
        let predictor = PREDICTORS[(self.predictor.get(decoder) & 3) as usize];
        self.origin = self.origin.wrapping_add(self.base.get_signed(decoder));
        let span = if predictor == Predictor::Line { self.span.get_signed(decoder) } else { 0 };
        let mut values = Vec::with_capacity(count);
        if predictor != Predictor::Level {
            values.push(self.origin);
        }
        let last_index = i64::try_from(count - 1).unwrap_or(i64::MAX).max(1);
        let (mut previous, mut step, mut index) = (self.origin, 0i64, signed(values.len()));
        while values.len() < count {
            let expected = match predictor {
                Predictor::Level => self.origin,
                Predictor::Previous => previous,
                Predictor::Slope => previous.wrapping_add(step),
                Predictor::Line => self.origin.wrapping_add(span.wrapping_mul(index) / last_index),
            };
            let value = expected.wrapping_add(self.surprise.get_signed(decoder));
            (step, previous, index) = (value.wrapping_sub(previous), value, index + 1);
            values.push(value);
        }
        values
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
