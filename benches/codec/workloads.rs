//! The workloads whose sizes are compared, each as seconds of readings.
//!
//! | name | what |
//! |---|---|
//! | W1 | ten sensors, one channel, 100 readings a second each: see `outstation::bench::w1` |
//! | W1-slow | the same at one reading a second each |
//! | W2 | a weather station: one reading a second of five channels with one decimal |
//! | W3 | an inertial unit: 100 readings a second of six 16-bit integers, noise of σ = 200 |

use std::fmt::Write as _;

use fastrand::Rng;
use outstation_codec::{Segment, Stamp, Value};

const START_MS: i64 = 1_760_000_000_000;

/// One reading; channel `n` is called `channels[n]` of its workload.
pub(crate) struct Reading {
    sensor: u32,
    seq: u64,
    ms: i64,
    values: Vec<Value>,
}

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    prefix: &'static str,
    channels: &'static [&'static str],
    pub(crate) seconds: Vec<Vec<Reading>>,
}

pub(crate) fn all() -> [Workload; 4] {
    [w1("W1", 200, 100), w1("W1-slow", 3600, 1), w2(3600), w3(200)]
}

/// W1 at any pace; at its own it differs from the lines of `bench::w1` in the seed alone.
fn w1(name: &'static str, seconds: i64, per_second: i64) -> Workload {
    let mut rng = Rng::with_seed(1);
    let mut values = [20.0f64; 10];
    let second = |second| {
        let mut readings = Vec::new();
        for tick in second * per_second..(second + 1) * per_second {
            for (sensor, value) in (0..).zip(&mut values) {
                *value = rounded(*value + 0.02 * normal(&mut rng), 100.0);
                let ms = START_MS + tick * 1000 / per_second + rng.i64(-1..=1);
                readings.push(reading(sensor, tick, ms, vec![Value::F64(*value)]));
            }
        }
        readings
    };
    Workload {
        name,
        prefix: "t",
        channels: &["value"],
        seconds: (0..seconds).map(second).collect(),
    }
}

fn w2(seconds: i64) -> Workload {
    const CHANNELS: [&str; 5] = ["temperature", "humidity", "pressure", "wind", "rain"];
    let mut rng = Rng::with_seed(2);
    let (mut state, mut gust) = ([14.0f64, 62.0, 1013.2, 3.0, 0.0], 0.0f64);
    let second = |tick| {
        for (value, step) in state.iter_mut().zip([0.01, 0.03, 0.01, 0.05]) {
            *value += step * normal(&mut rng);
        }
        gust = 0.8 * gust + 0.3 * normal(&mut rng);
        state[3] = state[3].clamp(0.5, 15.0);
        state[4] += if rng.u32(..100) == 0 { 0.2 } else { 0.0 };
        let noise = [0.02, 0.1, 0.03, 0.0, 0.0].map(|sigma| sigma * normal(&mut rng));
        let mut shown: Vec<f64> =
            state.iter().zip(noise).map(|(value, noise)| value + noise).collect();
        shown[3] = (shown[3] + gust).max(0.0);
        let values = shown.into_iter().map(|value| Value::F64(rounded(value, 10.0))).collect();
        vec![reading(0, tick, START_MS + 1000 * tick + rng.i64(-1..=1), values)]
    };
    Workload {
        name: "W2",
        prefix: "w",
        channels: &CHANNELS,
        seconds: (0..seconds).map(second).collect(),
    }
}

fn w3(seconds: i64) -> Workload {
    const CHANNELS: [&str; 6] = ["ax", "ay", "az", "gx", "gy", "gz"];
    let mut rng = Rng::with_seed(3);
    let levels = [120, -340, 16_384, 15, -22, 8];
    let second = |second: i64| {
        let ticks = second * 100..(second + 1) * 100;
        ticks
            .map(|tick| {
                #[expect(clippy::cast_possible_truncation, reason = "six sigma are 1,200")]
                let noise = |_| (200.0 * normal(&mut rng)).round() as i64;
                let values = levels.iter().zip([(); 6].map(noise));
                let values = values.map(|(level, noise)| Value::Int(level + noise)).collect();
                reading(0, tick, START_MS + 10 * tick + rng.i64(-1..=1), values)
            })
            .collect()
    };
    Workload {
        name: "W3",
        prefix: "i",
        channels: &CHANNELS,
        seconds: (0..seconds).map(second).collect(),
    }
}

impl Workload {
    /// The readings of some seconds as one segment.
    pub(crate) fn segment(&self, second: &[Reading]) -> Segment {
        let mut segment = Segment::default();
        for reading in second {
            let cells = (0..).zip(reading.values.iter().cloned());
            segment.push(reading.sensor, Stamp::unix(reading.ms), cells);
        }
        segment
    }

    /// The same readings as JSON lines.
    pub(crate) fn json(&self, second: &[Reading]) -> String {
        let mut text = String::new();
        for Reading { sensor, seq, ms, values } in second {
            let name = self.prefix;
            let _ = write!(text, "{{\"sensor\":\"{name}{sensor}\",\"seq\":{seq},\"ts\":{ms}");
            for (channel, value) in self.channels.iter().zip(values) {
                let _ = match value {
                    Value::F64(float) => write!(text, ",\"{channel}\":{float}"),
                    Value::Int(int) => write!(text, ",\"{channel}\":{int}"),
                    _ => Ok(()),
                };
            }
            text.push_str("}\n");
        }
        text
    }
}

fn reading(sensor: u32, tick: i64, ms: i64, values: Vec<Value>) -> Reading {
    Reading { sensor, seq: tick.unsigned_abs(), ms, values }
}

fn rounded(value: f64, power: f64) -> f64 {
    (value * power).round() / power
}

/// Irwin–Hall: the sum of twelve uniforms is close to normal.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}
