//! An adaptive binary range coder: the entropy stage of the segment format.
//!
//! A general compressor pays for its tables and headers in every segment, and a segment of one second is
//! small (1,000 readings). Adaptive bit models cost nothing at the start and reach the entropy of sensor
//! noise within a few dozen values. The coder is LZMA's, with 16-bit probabilities whose learning rate
//! falls with the number of observations. Bit models suit rare and lopsided decisions; the bulk of a column
//! goes through [`super::token`], in one step per value.
//!
//! Decoding never fails: it reads zeros past the end, so bytes of any content give *some* values. The
//! caller must bound how many it asks for.

#![expect(
    clippy::cast_possible_truncation,
    reason = "arithmetic coding works on the low bytes of its registers by design"
)]

const RANGE_MIN: u32 = 1 << 24;

/// The sum of the shares of a decision between more than two ways.
pub(super) const SHARES: u32 = 1 << 15;

/// The learning rate of a model: after `n` observations it moves by 1/2^RATE[n] of the distance. The first
/// steps follow the counting estimate 1/(n+2); the last is the memory of a model in its steady state.
const RATE: [u8; 48] = {
    let mut rate = [0; 48];
    let mut n = 0;
    while n < rate.len() {
        rate[n] = match n {
            0 => 1,
            1 | 2 => 2,
            3..=6 => 3,
            7..=14 => 4,
            15..=46 => 5,
            _ => 6,
        };
        n += 1;
    }
    rate
};

/// The adaptive probability of one binary decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bit {
    /// The probability of a zero, in 1/65536; `learn` keeps it off both ends.
    zero: u16,
    seen: u8,
}

impl Bit {
    pub(super) const NEW: Self = Self { zero: 1 << 15, seen: 0 };

    fn learn(&mut self, bit: bool) {
        let rate = RATE[usize::from(self.seen)];
        if bit {
            self.zero -= self.zero >> rate;
        } else {
            self.zero += (u16::MAX - self.zero) >> rate;
        }
        // A rate of 1/2 can reach the ends, where a bit would have no code space left.
        self.zero = self.zero.clamp(64, u16::MAX - 64);
        self.seen = (self.seen + 1).min(RATE.len() as u8 - 1);
    }
}

/// Writes decisions into a byte vector.
#[derive(Debug)]
pub(super) struct RangeEncoder {
    out: Vec<u8>,
    low: u32,
    range: u32,
}

impl RangeEncoder {
    /// Creates an encoder that appends to `out`, which may already hold a header.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { out, low: 0, range: u32::MAX }
    }

    pub(super) fn bit(&mut self, model: &mut Bit, bit: bool) {
        let bound = (self.range >> 16) * u32::from(model.zero);
        if bit {
            self.add(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(bit);
        self.normalize();
    }

    /// Writes a decision whose share of the code space is known: from `start` to `end` of [`SHARES`].
    pub(super) fn share(&mut self, start: u16, end: u16) {
        let unit = self.range / SHARES;
        self.add(unit * u32::from(start));
        self.range = unit * u32::from(end - start);
        self.normalize();
    }

    /// Writes the low `count` bits of `value`, the most significant first, at a cost of one bit each.
    pub(super) fn raw(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            let step = left.min(8);
            left -= step;
            let chunk = (value >> left) as u32 & ((1 << step) - 1);
            self.range >>= step;
            self.add(self.range * chunk);
            self.normalize();
        }
    }

    fn add(&mut self, amount: u32) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        if carry {
            self.carry();
        }
    }

    /// Carries into the bytes already written. The carry ends there, because the code as a whole is below
    /// one.
    #[cold]
    fn carry(&mut self) {
        for byte in self.out.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    fn normalize(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift_low();
        }
    }

    fn shift_low(&mut self) {
        self.out.push((self.low >> 24) as u8);
        self.low <<= 8;
    }

    /// Ends the stream with as few bytes as still lead the decoder to the same decisions.
    pub(super) fn finish(mut self, body_start: usize) -> Vec<u8> {
        for zeros in (0..32).rev() {
            let mask = (1u32 << zeros) - 1;
            let up = self.low.wrapping_neg() & mask;
            if up < self.range {
                self.add(up);
                break;
            }
        }
        for _ in 0..4 {
            self.shift_low();
        }
        while self.out.len() > body_start && self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

/// Reads the decisions of a [`RangeEncoder`], given the same models in the same order.
#[derive(Debug)]
pub(super) struct RangeDecoder<'a> {
    input: std::slice::Iter<'a, u8>,
    range: u32,
    code: u32,
}

impl<'a> RangeDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let mut decoder = Self { input: input.iter(), range: u32::MAX, code: 0 };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.next_byte();
        }
        decoder
    }

    pub(super) fn bit(&mut self, model: &mut Bit) -> bool {
        let bound = (self.range >> 16) * u32::from(model.zero);
        let bit = self.code >= bound;
        if bit {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(bit);
        self.normalize();
        bit
    }

    /// Reads a decision: the index of the share that it fell into. Share `n` reaches from `ends[n]` to
    /// `ends[n + 1]`, and `ends[0]` is zero.
    pub(super) fn share<const N: usize>(&mut self, ends: &[u16; N]) -> usize {
        let unit = self.range / SHARES;
        let (mut symbol, mut start, mut end) = (0, 0, unit * u32::from(ends[1]));
        // The code of damaged bytes may lie beyond the last share; it counts as that share.
        while self.code >= end && symbol + 2 < N {
            symbol += 1;
            start = end;
            end = unit * u32::from(ends[symbol + 1]);
        }
        self.code -= start;
        self.range = end - start;
        self.normalize();
        symbol
    }

    pub(super) fn raw(&mut self, count: u32) -> u64 {
        let mut value = 0;
        let mut left = count;
        while left > 0 {
            let step = left.min(8);
            left -= step;
            self.range >>= step;
            let chunk = (self.code / self.range).min((1 << step) - 1);
            self.code -= chunk * self.range;
            value = value << step | u64::from(chunk);
            self.normalize();
        }
        value
    }

    fn normalize(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.code = self.code << 8 | self.next_byte();
        }
    }

    fn next_byte(&mut self) -> u32 {
        self.input.next().copied().map_or(0, u32::from)
    }
}

/// The number of bits below the leading one that are modelled; the rest of a long number is noise.
const MODELLED: u32 = 3;
/// The number of lengths with models of their own; longer numbers share the last one.
const LENGTHS: usize = 24;

/// An adaptive model of unsigned numbers: the bit length in unary, then the bits below the leading one, of
/// which the first three are modelled and the others written raw.
#[derive(Clone, Debug)]
pub(super) struct Number {
    longer: [Bit; 64],
    top: [[Bit; 1 << MODELLED]; LENGTHS],
}

impl Number {
    pub(super) const NEW: Self =
        Self { longer: [Bit::NEW; 64], top: [[Bit::NEW; 1 << MODELLED]; LENGTHS] };

    pub(super) fn put(&mut self, encoder: &mut RangeEncoder, value: u64) {
        let length = 64 - value.leading_zeros();
        for step in 0..length {
            encoder.bit(&mut self.longer[step as usize], true);
        }
        if let Some(model) = self.longer.get_mut(length as usize) {
            encoder.bit(model, false);
        }
        let below = length.saturating_sub(1);
        let modelled = below.min(MODELLED);
        let tree = self.tree(length);
        let mut node = 1;
        for shift in (below - modelled..below).rev() {
            let bit = value >> shift & 1 == 1;
            encoder.bit(&mut tree[node], bit);
            node = node << 1 | usize::from(bit);
        }
        encoder.raw(value, below - modelled);
    }

    pub(super) fn get(&mut self, decoder: &mut RangeDecoder<'_>) -> u64 {
        let mut length = 0;
        while self.longer.get_mut(length as usize).is_some_and(|model| decoder.bit(model)) {
            length += 1;
        }
        if length == 0 {
            return 0;
        }
        let below = length - 1;
        let modelled = below.min(MODELLED);
        let tree = self.tree(length);
        let mut node = 1;
        for _ in 0..modelled {
            node = node << 1 | usize::from(decoder.bit(&mut tree[node]));
        }
        let rest = below - modelled;
        (node as u64) << rest | decoder.raw(rest)
    }

    pub(super) fn put_signed(&mut self, encoder: &mut RangeEncoder, value: i64) {
        self.put(encoder, zigzag(value));
    }

    pub(super) fn get_signed(&mut self, decoder: &mut RangeDecoder<'_>) -> i64 {
        unzigzag(self.get(decoder))
    }

    fn tree(&mut self, length: u32) -> &mut [Bit; 1 << MODELLED] {
        &mut self.top[(length as usize).min(LENGTHS - 1)]
    }
}

/// Maps small magnitudes of either sign to small numbers: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(super) fn zigzag(value: i64) -> u64 {
    u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes())
}

pub(super) fn unzigzag(value: u64) -> i64 {
    i64::from_ne_bytes(((value >> 1) ^ (value & 1).wrapping_neg()).to_ne_bytes())
}

/// An adaptive model of single bytes, without relations between them: for text and the parts of a float.
#[derive(Clone, Debug)]
pub(super) struct Byte([Bit; 256]);

impl Byte {
    pub(super) const NEW: Self = Self([Bit::NEW; 256]);

    pub(super) fn put(&mut self, encoder: &mut RangeEncoder, byte: u8) {
        let mut node = 1;
        for shift in (0..8).rev() {
            let bit = byte >> shift & 1 == 1;
            encoder.bit(&mut self.0[node], bit);
            node = node << 1 | usize::from(bit);
        }
    }

    pub(super) fn get(&mut self, decoder: &mut RangeDecoder<'_>) -> u8 {
        let mut node = 1;
        for _ in 0..8 {
            node = node << 1 | usize::from(decoder.bit(&mut self.0[node]));
        }
        node as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_bytes_and_raw_bits_come_back(
            items in prop::collection::vec((any::<u64>(), 0u32..=64, any::<u8>()), 0..200),
        ) {
            let (mut number, mut byte) = (Number::NEW, Byte::NEW);
            let mut encoder = RangeEncoder::new(Vec::new());
            for &(value, bits, text) in &items {
                let value = value.checked_shr(bits).unwrap_or(0);
                number.put(&mut encoder, value);
                byte.put(&mut encoder, text);
                encoder.raw(value, 64);
            }
            let bytes = encoder.finish(0);
            let (mut number, mut byte) = (Number::NEW, Byte::NEW);
            let mut decoder = RangeDecoder::new(&bytes);
            for &(value, bits, text) in &items {
                let value = value.checked_shr(bits).unwrap_or(0);
                prop_assert_eq!(number.get(&mut decoder), value);
                prop_assert_eq!(byte.get(&mut decoder), text);
                prop_assert_eq!(decoder.raw(64), value);
            }
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut decoder = RangeDecoder::new(&bytes);
            let mut number = Number::NEW;
            for _ in 0..100 {
                number.get(&mut decoder);
                decoder.raw(13);
            }
        }
    }

    #[test]
    fn a_settled_constant_costs_almost_nothing() {
        let mut number = Number::NEW;
        let mut encoder = RangeEncoder::new(Vec::new());
        for _ in 0..10_000 {
            number.put(&mut encoder, 0);
        }
        assert!(encoder.finish(0).len() < 40);
    }

    #[test]
    fn zigzag_covers_both_ends() {
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
