//! Forecasts the next value in a column of integers, by one of four simple rules.
//!
//! Which rule is cheapest depends on the signal (a clock is a line, a temperature resembles its last value,
//! vibration resembles its mean), so the encoder tries the rules on some values of each column and writes
//! down the best. A poor choice costs bytes, never a value: all arithmetic wraps.

use super::range_coder::{unzigzag, zigzag};

/// The rules are tried on this many stretches of this many values: the cost of choosing stays constant, and
/// a long column is not judged by its first values alone.
const STRETCHES: usize = 4;
const STRETCH: usize = 6;

/// The number of binary places of a rise. Over the longest column it is still exact to one.
pub(super) const FRACTION_BITS: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    /// The mean, for noise around a level.
    Level,
    /// The last value, for a slow signal.
    Previous,
    /// The last value plus the last step, for a ramp, a counter or a steady clock.
    Slope,
    /// A straight line, for a periodic clock with jitter.
    Line,
}

pub(super) const PREDICTORS: [Predictor; 4] =
    [Predictor::Level, Predictor::Previous, Predictor::Slope, Predictor::Line];

/// The rule by which the values of a column are forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forecast {
    pub predictor: Predictor,
    /// The level, the start of the line, or the first value.
    pub base: i64,
    /// The rise of a line per value, in units of 1/2^16.
    pub rise: i64,
}

impl Forecast {
    /// Chooses the cheapest rule for these values, of which there must be at least one, and the bit at
    /// which its surprises are cut. A rise other than `last_rise` costs the bits that write it.
    pub(super) fn of(values: &[i64], last_rise: i64) -> (Self, u32) {
        let first = values[0];
        let previous = Self { predictor: Predictor::Previous, base: first, rise: 0 };
        if values.len() <= 2 {
            return (previous, shift(bits(values[values.len() - 1].wrapping_sub(first)), 1));
        }
        let near = first.wrapping_add(Sums::of(&values[..values.len().min(STRETCH)]).mean());
        let ([by_level, by_previous, by_slope], tried) =
            trial(values, |_, [before, last, value]| {
                let step = value.wrapping_sub(last);
                let turn = step.wrapping_sub(last.wrapping_sub(before));
                [bits(value.wrapping_sub(near)), bits(step), bits(turn)]
            });
        // A slow signal is recognised by this, and no line is fitted to it.
        if by_previous <= by_slope && by_previous <= by_level {
            return (previous, shift(by_previous, tried));
        }
        let sums = Sums::of(values);
        let level = first.wrapping_add(sums.mean());
        let (base, rise) = sums.line(first);
        let ([by_level, by_line], _) = trial(values, |index, [.., value]| {
            let way = rise.wrapping_mul(index) >> FRACTION_BITS;
            [bits(value.wrapping_sub(level)), bits(value.wrapping_sub(base).wrapping_sub(way))]
        });
        let naming = bits(rise.wrapping_sub(last_rise)) * tried / values.len() as u64;
        let level = (by_level, Self { predictor: Predictor::Level, base: level, rise: 0 });
        let slope = (by_slope, Self { predictor: Predictor::Slope, base: first, rise: 0 });
        let line = (by_line + naming, Self { predictor: Predictor::Line, base, rise });
        let rules = [level, (by_previous, previous), slope, line];
        let (cost, cheapest) = rules.into_iter().min_by_key(|rule| rule.0).unwrap_or(level);
        (cheapest, shift(cost, tried))
    }

    /// The number of surprises in a column of `count` values. For `Previous` and `Slope` the first value is
    /// the base and has none.
    pub(super) fn surprises(&self, count: usize) -> usize {
        match self.predictor {
            Predictor::Level | Predictor::Line => count,
            Predictor::Previous | Predictor::Slope => count - 1,
        }
    }

    /// Computes the surprises of the values: the differences from their forecasts.
    pub(super) fn surprise(&self, values: &[i64], out: &mut Vec<u64>) {
        let steps = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        out.clear();
        match self.predictor {
            Predictor::Level => {
                out.extend(values.iter().map(|value| zigzag(value.wrapping_sub(self.base))));
            }
            Predictor::Previous => out.extend(steps().map(zigzag)),
            Predictor::Slope => {
                let mut last = 0;
                out.extend(steps().map(|step| {
                    let turn = step.wrapping_sub(last);
                    last = step;
                    zigzag(turn)
                }));
            }
            Predictor::Line => {
                let mut way = 0i64;
                out.extend(values.iter().map(|value| {
                    let off = value.wrapping_sub(self.base).wrapping_sub(way >> FRACTION_BITS);
                    way = way.wrapping_add(self.rise);
                    zigzag(off)
                }));
            }
        }
    }

    /// Restores the values from their surprises, each converted by `make`.
    pub(super) fn restore<T>(&self, surprises: &[u64], make: impl Fn(i64) -> T) -> Vec<T> {
        let surprises = surprises.iter().copied().map(unzigzag);
        let mut value = self.base;
        let mut values = Vec::with_capacity(surprises.len() + 1);
        match self.predictor {
            Predictor::Level => {
                values.extend(surprises.map(|off| make(value.wrapping_add(off))));
            }
            Predictor::Previous => {
                values.push(make(value));
                values.extend(surprises.map(|step| {
                    value = value.wrapping_add(step);
                    make(value)
                }));
            }
            Predictor::Slope => {
                let mut step = 0i64;
                values.push(make(value));
                values.extend(surprises.map(|turn| {
                    step = step.wrapping_add(turn);
                    value = value.wrapping_add(step);
                    make(value)
                }));
            }
            Predictor::Line => {
                let mut way = 0i64;
                values.extend(surprises.map(|off| {
                    let expected = value.wrapping_add(way >> FRACTION_BITS);
                    way = way.wrapping_add(self.rise);
                    make(expected.wrapping_add(off))
                }));
            }
        }
        values
    }
}

/// Adds up what the surprises of each rule cost on some of the values, and counts those values. A rule is
/// given the index, the two values before, and the value.
fn trial<const N: usize>(
    values: &[i64],
    costs: impl Fn(i64, [i64; 3]) -> [u64; N],
) -> ([u64; N], u64) {
    let (mut sums, mut tried) = ([0; N], 0);
    for stretch in 0..STRETCHES {
        let start = (values.len() - 2) * stretch / STRETCHES;
        let end = (values.len() - 2) * (stretch + 1) / STRETCHES;
        let own = &values[start..end.min(start + STRETCH) + 2];
        for (index, seen) in (signed(start + 2)..).zip(own.windows(3)) {
            for (sum, cost) in sums.iter_mut().zip(costs(index, [seen[0], seen[1], seen[2]])) {
                *sum += cost;
            }
        }
        tried += own.len() as u64 - 2;
    }
    (sums, tried)
}

/// The sums of a least-squares fit, relative to the first value.
struct Sums {
    count: i64,
    plain: i64,
    /// The sum weighted by place, symmetric about the middle: -3, -1, 1, 3.
    by_place: i64,
}

impl Sums {
    fn of(values: &[i64]) -> Self {
        let count = signed(values.len());
        let (mut plain, mut by_place, mut place) = (0i64, 0i64, 1 - count);
        for value in values {
            let value = value.wrapping_sub(values[0]);
            plain = plain.wrapping_add(value);
            by_place = by_place.wrapping_add(value.wrapping_mul(place));
            place += 2;
        }
        Self { count, plain, by_place }
    }

    fn mean(&self) -> i64 {
        self.plain / self.count
    }

    /// The start and the rise of the line. The period of a clock is nearly always whole: a rise that is
    /// whole within the error of the fit is taken as whole, and costs almost nothing to write for the next
    /// sensor.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "any line will do, this one is near the best"
    )]
    fn line(&self, first: i64) -> (i64, i64) {
        let count = self.count as f64;
        let mut rise = 6.0 * self.by_place as f64 / (count * (count * count - 1.0));
        if ((rise - rise.round()) * count).abs() < 1.0 {
            rise = rise.round();
        }
        let start = self.plain as f64 / count - rise * (count - 1.0) / 2.0;
        let unit = f64::from(1u32 << FRACTION_BITS);
        (first.wrapping_add(start.round() as i64), (rise * unit).round() as i64)
    }
}

/// The approximate number of bits that a surprise takes.
fn bits(surprise: i64) -> u64 {
    u64::from(64 - zigzag(surprise).leading_zeros())
}

/// The bit at which surprises of `cost` bits together are cut: three quarters of them are then below eight,
/// so that a token gives their magnitude and only noise is left in the bits below.
fn shift(cost: u64, tried: u64) -> u32 {
    let mean = (10 * cost + 7 * tried) / (10 * tried);
    u32::try_from(mean.saturating_sub(2)).unwrap_or(0)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
