//! Encodes a column of integers: the rule of its forecast, and the surprises.

use super::forecast::{FRACTION_BITS, Forecast, PREDICTORS, Predictor};
use super::range_coder::{Bit, Number, RangeDecoder, RangeEncoder, unzigzag, zigzag};
use super::token::Tokens;

const FRACTION_MASK: i64 = (1 << FRACTION_BITS) - 1;

/// The models of one kind of integer columns, with the parameters of the last such column.
#[derive(Debug)]
pub(super) struct IntegerModels {
    predictor: Number,
    base: Number,
    rise: Number,
    fraction: Bit,
    shift: Number,
    surprise: Tokens,
    last_base: Option<i64>,
    last_rise: i64,
    last_shift: i64,
    scratch: Vec<u64>,
}

impl IntegerModels {
    pub(super) const NEW: Self = Self {
        predictor: Number::NEW,
        base: Number::NEW,
        rise: Number::NEW,
        fraction: Bit::NEW,
        shift: Number::NEW,
        surprise: Tokens::NEW,
        last_base: None,
        last_rise: 0,
        last_shift: 0,
        scratch: Vec::new(),
    };

    pub(super) fn put(&mut self, encoder: &mut RangeEncoder, values: &[i64]) {
        if values.len() <= 1 {
            values.iter().for_each(|only| self.put_base(encoder, *only));
            return;
        }
        let (forecast, shift) = Forecast::of(values, self.last_rise);
        self.predictor.put(encoder, forecast.predictor as u64);
        self.put_base(encoder, forecast.base);
        if forecast.predictor == Predictor::Line {
            self.put_rise(encoder, forecast.rise);
        }
        self.shift.put_signed(encoder, i64::from(shift) - self.last_shift);
        self.last_shift = i64::from(shift);
        forecast.surprise(values, &mut self.scratch);
        self.surprise.put(encoder, &self.scratch, shift);
    }

    /// Reads `count` integers, each converted by `make`.
    pub(super) fn get<T>(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        count: usize,
        make: impl Fn(i64) -> T,
    ) -> Vec<T> {
        if count <= 1 {
            return (0..count).map(|_| make(self.get_base(decoder))).collect();
        }
        let predictor = PREDICTORS[(self.predictor.get(decoder) & 3) as usize];
        let base = self.get_base(decoder);
        let rise = if predictor == Predictor::Line { self.get_rise(decoder) } else { 0 };
        self.last_shift = self.last_shift.wrapping_add(self.shift.get_signed(decoder)) & 63;
        let shift = u32::try_from(self.last_shift).unwrap_or(0);
        let forecast = Forecast { predictor, base, rise };
        self.scratch.clear();
        self.scratch.resize(forecast.surprises(count), 0);
        self.surprise.get(decoder, &mut self.scratch, shift);
        forecast.restore(&self.scratch, make)
    }

    fn put_base(&mut self, encoder: &mut RangeEncoder, base: i64) {
        match self.last_base.replace(base) {
            Some(last) => self.base.put_signed(encoder, base.wrapping_sub(last)),
            None => put_plain(encoder, zigzag(base)),
        }
    }

    fn get_base(&mut self, decoder: &mut RangeDecoder<'_>) -> i64 {
        let base = match self.last_base {
            Some(last) => last.wrapping_add(self.base.get_signed(decoder)),
            None => unzigzag(get_plain(decoder)),
        };
        self.last_base = Some(base);
        base
    }

    /// Writes a rise in two parts, because most rises are whole.
    fn put_rise(&mut self, encoder: &mut RangeEncoder, rise: i64) {
        let (whole, fraction) = (rise >> FRACTION_BITS, rise & FRACTION_MASK);
        self.rise.put_signed(encoder, whole.wrapping_sub(self.last_rise >> FRACTION_BITS));
        encoder.bit(&mut self.fraction, fraction != 0);
        if fraction != 0 {
            encoder.raw(fraction.unsigned_abs(), FRACTION_BITS);
        }
        self.last_rise = rise;
    }

    fn get_rise(&mut self, decoder: &mut RangeDecoder<'_>) -> i64 {
        let whole = (self.last_rise >> FRACTION_BITS).wrapping_add(self.rise.get_signed(decoder));
        self.last_rise = whole << FRACTION_BITS;
        if decoder.bit(&mut self.fraction) {
            self.last_rise |= i64::try_from(decoder.raw(FRACTION_BITS)).unwrap_or(0);
        }
        self.last_rise
    }
}

/// Writes a number about which nothing is known: its length in seven bits, then the bits below its leading
/// one. An adaptive model would pay for each step of the length.
fn put_plain(encoder: &mut RangeEncoder, value: u64) {
    let length = 64 - value.leading_zeros();
    encoder.raw(u64::from(length), 7);
    encoder.raw(value, length.saturating_sub(1));
}

fn get_plain(decoder: &mut RangeDecoder<'_>) -> u64 {
    match u32::try_from(decoder.raw(7)).unwrap_or(0) {
        0 => 0,
        length => {
            let below = (length - 1).min(63);
            1 << below | decoder.raw(below)
        }
    }
}
