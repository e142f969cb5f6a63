//! Workload W1: ten sensors with one channel each, and 100 readings a second per sensor.
//!
//! Values start at 20.00 and step by a normal deviate of σ = 0.02 rounded to 0.01; times come every 10 ms
//! with a jitter drawn from {−1, 0, +1} ms. As JSON lines the readings have 63 to 66 bytes. W1-slow is the
//! same at one reading a second per sensor.

use std::sync::Arc;

use outstation_codec::{Channel, Readings, Sensor, Stamp, Value, ValueType};

pub const SENSORS: usize = 10;
const PERIOD_MS: u64 = 10;
const SLOW_PERIOD_MS: u64 = 1_000;
const START_MS: u64 = 1_760_000_000_000;

/// One reading of W1: the index of its sensor, its number at that sensor, its time in Unix milliseconds,
/// and its value.
#[derive(Clone, Copy, Debug)]
pub struct W1Reading {
    pub sensor: usize,
    pub seq: u64,
    pub ts: u64,
    pub value: f64,
}

/// The readings of W1 without end, the same in every run.
#[derive(Debug)]
pub struct W1Readings {
    rng: fastrand::Rng,
    values: [f64; SENSORS],
    count: u64,
    period_ms: u64,
}

impl W1Readings {
    pub fn new() -> Self {
        Self::every(PERIOD_MS)
    }

    pub fn slow() -> Self {
        Self::every(SLOW_PERIOD_MS)
    }

    fn every(period_ms: u64) -> Self {
        let rng = fastrand::Rng::with_seed(1);
        Self { rng, values: [20.0; SENSORS], count: 0, period_ms }
    }
}

impl Default for W1Readings {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for W1Readings {
    type Item = W1Reading;

    fn next(&mut self) -> Option<W1Reading> {
        let (seq, sensor) = (self.count / SENSORS as u64, self.count % SENSORS as u64);
        let sensor = usize::try_from(sensor).unwrap_or(0);
        // Irwin–Hall: the sum of twelve uniform deviates is close to a normal one.
        let normal = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
        let value = &mut self.values[sensor];
        *value = ((*value + 0.02 * normal) * 100.0).round() / 100.0;
        let ts = START_MS + self.period_ms * seq + self.rng.u64(0..=2) - 1;
        self.count += 1;
        Some(W1Reading { sensor, seq, ts, value: *value })
    }
}

/// The readings of W1 as the lines that a sensor would send.
#[derive(Debug, Default)]
pub struct W1Lines(W1Readings);

impl W1Lines {
    pub fn new() -> Self {
        Self::default()
    }
}

impl Iterator for W1Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let W1Reading { sensor, seq, ts, value } = self.0.next()?;
        Some(format!(
            "{{\"sensor\":\"t{sensor}\",\"seq\":{seq},\"ts\":{ts},\"value\":{value:.2}}}\n"
        ))
    }
}

/// The sensors of W1 as a port knows them.
#[derive(Debug)]
pub struct Sensors(Vec<Arc<Sensor>>);

impl Sensors {
    pub fn new(port: &str) -> Self {
        let channels =
            vec![Channel { name: "value".into(), unit: String::new(), kind: ValueType::F64 }];
        let sensor = |number| {
            let (port, name) = (port.to_owned(), format!("t{number}"));
            Arc::new(Sensor { port, name, channels: channels.clone() })
        };
        Self((0..SENSORS).map(sensor).collect())
    }

    /// The readings as a port would append them to the log.
    pub fn readings(&self, samples: impl Iterator<Item = W1Reading>) -> Readings {
        let mut readings = Readings::default();
        for W1Reading { sensor, ts, value, .. } in samples {
            let stamp = Stamp::unix(i64::try_from(ts).unwrap_or(i64::MAX));
            readings.push(&self.0[sensor], stamp, [(0, Value::F64(value))]);
        }
        readings
    }
}
