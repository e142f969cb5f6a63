//! An adaptive model of the surprises in a column: one coding step for nearly every value.
//!
//! A surprise is cut at a *shift* that the column chose: the bits above it are coded as one of sixteen
//! tokens, the bits below it are noise and written raw. Tokens are counted, and the shares of the code
//! space follow the counts at growing intervals: keeping them exact after each value would cost several
//! times the coding itself, and gain nothing once the shares are stable.

use super::range_coder::{Number, RangeDecoder, RangeEncoder, SHARES};

const TOKENS: usize = 16;
/// The token of all larger numbers; the difference follows as a number.
const ESCAPE: u64 = TOKENS as u64 - 1;

/// The weights before any observation: small surprises, as in a well forecast column.
const PRIOR: [u16; TOKENS] = [24, 24, 24, 16, 16, 12, 12, 8, 8, 6, 6, 4, 4, 4, 4, 8];
/// The weight of one observation beside the prior.
const WEIGHT: u16 = 32;
/// The sum of weights above which all are halved, so that old observations lose their influence.
const SUM_MAX: u32 = 1 << 14;
/// The largest number of observations between two adjustments of the shares.
const PAUSE_MAX: u16 = 64;

#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// The start of each token's share, which is the end of the share before it.
    ends: [u16; TOKENS + 1],
    weights: [u16; TOKENS],
    /// The observations left until the next adjustment, and the number between that one and the one after
    /// it.
    until: u16,
    pause: u16,
    rest: Number,
}

impl Tokens {
    pub(super) const NEW: Self =
        Self { ends: ends(&PRIOR), weights: PRIOR, until: 1, pause: 1, rest: Number::NEW };

    pub(super) fn put(&mut self, encoder: &mut RangeEncoder, mut values: &[u64], shift: u32) {
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(usize::from(self.until)));
            for &value in now {
                let high = value >> shift;
                let token = high.min(ESCAPE) as usize & (TOKENS - 1);
                encoder.share(self.ends[token], self.ends[token + 1]);
                self.weights[token] += WEIGHT;
                if high >= ESCAPE {
                    self.rest.put(encoder, high - ESCAPE);
                }
                encoder.raw(value, shift);
            }
            self.observed(now.len());
            values = later;
        }
    }

    pub(super) fn get(&mut self, decoder: &mut RangeDecoder<'_>, values: &mut [u64], shift: u32) {
        let mut values = values;
        while !values.is_empty() {
            let (now, later) = values.split_at_mut(values.len().min(usize::from(self.until)));
            for value in &mut *now {
                let token = decoder.share(&self.ends) & (TOKENS - 1);
                self.weights[token] += WEIGHT;
                let mut high = token as u64;
                if high == ESCAPE {
                    high = high.wrapping_add(self.rest.get(decoder));
                }
                *value = high << shift | decoder.raw(shift);
            }
            self.observed(now.len());
            values = later;
        }
    }

    /// Notes `count` observations, which must be at most `until`.
    #[expect(clippy::cast_possible_truncation, reason = "at most `until`")]
    fn observed(&mut self, count: usize) {
        self.until -= count as u16;
        if self.until == 0 {
            self.adjust();
        }
    }

    fn adjust(&mut self) {
        if sum(&self.weights) > SUM_MAX {
            for weight in &mut self.weights {
                *weight = weight.div_ceil(2);
            }
        }
        self.ends = ends(&self.weights);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.until = self.pause;
    }
}

const fn sum(weights: &[u16; TOKENS]) -> u32 {
    let (mut sum, mut token) = (0, 0);
    while token < TOKENS {
        sum += weights[token] as u32;
        token += 1;
    }
    sum
}

/// The ends of the shares for these weights. No share is empty: a weight of one in [`SUM_MAX`] is still two
/// of [`SHARES`].
#[expect(clippy::cast_possible_truncation, reason = "no end is beyond SHARES, 2^15")]
const fn ends(weights: &[u16; TOKENS]) -> [u16; TOKENS + 1] {
    let scale = (SHARES << 16) / sum(weights);
    let (mut ends, mut before, mut token) = ([0; TOKENS + 1], 0, 0);
    while token < TOKENS {
        ends[token] = ((before * scale) >> 16) as u16;
        before += weights[token] as u32;
        token += 1;
    }
    ends[TOKENS] = SHARES as u16;
    ends
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn surprises_come_back(
            columns in prop::collection::vec(
                (prop::collection::vec((any::<u64>(), 0u32..=64), 0..300), 0u32..64),
                1..5,
            ),
        ) {
            let columns: Vec<(Vec<u64>, u32)> = columns
                .into_iter()
                .map(|(values, shift)| {
                    let cut = |(value, by): (u64, u32)| value.checked_shr(by).unwrap_or(0);
                    (values.into_iter().map(cut).collect(), shift)
                })
                .collect();
            let (mut encoder, mut tokens) = (RangeEncoder::new(Vec::new()), Tokens::NEW);
            for (values, shift) in &columns {
                tokens.put(&mut encoder, values, *shift);
            }
            let bytes = encoder.finish(0);
            let (mut decoder, mut tokens) = (RangeDecoder::new(&bytes), Tokens::NEW);
            for (values, shift) in &columns {
                let mut back = vec![0; values.len()];
                tokens.get(&mut decoder, &mut back, *shift);
                prop_assert_eq!(&back, values);
            }
        }

        #[test]
        fn any_bytes_decode_to_something(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            shift in 0u32..64,
        ) {
            let mut tokens = Tokens::NEW;
            tokens.get(&mut RangeDecoder::new(&bytes), &mut [0; 1000], shift);
        }
    }

    #[test]
    fn a_settled_constant_costs_almost_nothing() {
        for constant in [0, 3, 15] {
            let (mut encoder, mut tokens) = (RangeEncoder::new(Vec::new()), Tokens::NEW);
            tokens.put(&mut encoder, &[constant; 10_000], 0);
            assert!(encoder.finish(0).len() < 80);
        }
    }

    #[test]
    fn no_share_is_ever_empty() {
        let mut tokens = Tokens::NEW;
        for _ in 0..100_000 {
            tokens.weights[15] += WEIGHT;
            tokens.observed(1);
            assert!(tokens.ends.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
