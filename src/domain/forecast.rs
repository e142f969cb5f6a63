//! What comes next in a column of integers, by four simple rules.
//!
//! Which rule is cheapest depends on the signal (a clock is a line, a temperature resembles its
//! last value, vibration resembles its mean), so each column tries all and names the winner.

use super::coder::zigzag;

/// A predictor is chosen on this many values: the cost of choosing stays flat.
const TRIAL: usize = 256;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// The mean: noise around a level.
    Level,
    /// The value before: a slow signal.
    Previous,
    /// The value before plus the step before: a ramp, a counter, a steady clock.
    Slope,
    /// The straight line from first to last: a periodic clock with jitter.
    Line,
}

pub const PREDICTORS: [Predictor; 4] =
    [Predictor::Level, Predictor::Previous, Predictor::Slope, Predictor::Line];

/// A predictor at work: says what comes next, is told what came.
#[derive(Debug)]
pub struct Forecast {
    predictor: Predictor,
    pub base: i64,
    pub span: i64,
    count: i64,
    previous: i64,
    step: i64,
}

impl Forecast {
    pub fn new(predictor: Predictor, base: i64, span: i64, count: usize) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Self { predictor, base, span, count, previous: base, step: 0 }
    }

    pub fn of(predictor: Predictor, values: &[i64]) -> Self {
        let (first, last) = (values[0], values[values.len() - 1]);
        match predictor {
            Predictor::Level => Self::new(predictor, mean(values), 0, values.len()),
            Predictor::Line => Self::new(predictor, first, last.wrapping_sub(first), values.len()),
            _ => Self::new(predictor, first, 0, values.len()),
        }
    }

    /// The base is itself a value, except where it is a mean.
    pub fn starts_at(&self) -> usize {
        usize::from(self.predictor != Predictor::Level)
    }

    pub fn at(&self, index: usize) -> i64 {
        match self.predictor {
            Predictor::Level => self.base,
            Predictor::Previous => self.previous,
            Predictor::Slope => self.previous.wrapping_add(self.step),
            Predictor::Line => {
                let index = i64::try_from(index).unwrap_or(0);
                let way = self.span.wrapping_mul(index) / (self.count - 1).max(1);
                self.base.wrapping_add(way)
            }
        }
    }

    pub fn observe(&mut self, value: i64) {
        self.step = value.wrapping_sub(self.previous);
        self.previous = value;
    }

    /// Roughly how many bits the surprises of these values take.
    fn cost(mut self, values: &[i64]) -> u64 {
        let mut bits = 0;
        for (index, &value) in values.iter().enumerate().skip(self.starts_at()) {
            let surprise = zigzag(value.wrapping_sub(self.at(index)));
            bits += u64::from(64 - surprise.leading_zeros());
            self.observe(value);
        }
        bits
    }
}

fn mean(values: &[i64]) -> i64 {
    let sum: i128 = values.iter().map(|&value| i128::from(value)).sum();
    let count = i128::try_from(values.len()).unwrap_or(1).max(1);
    i64::try_from(sum / count).unwrap_or(0)
}

pub fn cheapest(values: &[i64]) -> Predictor {
    let trial = &values[..values.len().min(TRIAL)];
    let cost = |&predictor: &Predictor| Forecast::of(predictor, trial).cost(trial);
    PREDICTORS.into_iter().min_by_key(cost).unwrap_or(Predictor::Previous)
}
