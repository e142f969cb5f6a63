//! Workload W1: ten sensors, one channel each, 100 readings a second per sensor.
//!
//! Values start at 20.00 and step by a normal deviate of σ = 0.02 rounded to 0.01; times come every
//! 10 ms with a jitter drawn from {−1, 0, +1} ms. As JSON lines of 63 to 66 bytes.

pub const SENSORS: usize = 10;
const PERIOD_MS: u64 = 10;
const START_MS: u64 = 1_760_000_000_000;

/// The lines of W1, without end, the same in every run.
#[derive(Debug)]
pub struct Lines {
    rng: fastrand::Rng,
    values: [f64; SENSORS],
    count: u64,
}

impl Lines {
    pub fn new() -> Self {
        Self { rng: fastrand::Rng::with_seed(1), values: [20.0; SENSORS], count: 0 }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (seq, sensor) = (self.count / SENSORS as u64, self.count % SENSORS as u64);
        // Irwin–Hall: the sum of twelve uniforms is close to normal.
        let normal = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
        let value = &mut self.values[usize::try_from(sensor).unwrap_or(0)];
        *value = ((*value + 0.02 * normal) * 100.0).round() / 100.0;
        let ts = START_MS + PERIOD_MS * seq + self.rng.u64(0..=2) - 1;
        let line = format!(
            "{{\"sensor\":\"t{sensor}\",\"seq\":{seq},\"ts\":{ts},\"value\":{value:.2}}}\n"
        );
        self.count += 1;
        Some(line)
    }
}
