//! What sensors say here, as lines and as frames, and so what must arrive.

use std::ops::Range;

use outstation_wire::{Channel, Hello, MAX_FRAME, Sample, Value, ValueType};

/// Lines `{"n":…,"t":…}` for these numbers.
pub(crate) fn json_lines(numbers: Range<u64>) -> String {
    numbers.map(|n| format!("{}\n", json(n))).collect()
}

/// What the `n`-th of them says, and so what must arrive.
#[expect(clippy::cast_precision_loss, reason = "tests count to thousands")]
pub(crate) fn json(n: u64) -> serde_json::Value {
    serde_json::json!({"n": n, "t": n as f64 / 8.0 + 0.0625})
}

pub(crate) fn json_values(numbers: Range<u64>) -> Vec<serde_json::Value> {
    numbers.map(json).collect()
}

/// A sensor with one channel of each type introduces itself.
pub(crate) fn hello() -> Vec<u8> {
    let channel = |id, name, unit, kind| Channel { id, name, unit, kind };
    let channels = [
        channel(1, "temperature", "Cel", ValueType::F32),
        channel(2, "position", "m", ValueType::F64),
        channel(3, "count", "1", ValueType::Int),
        channel(4, "open", "", ValueType::Bool),
        channel(9, "card", "", ValueType::Text),
    ];
    let hello = Hello { firmware: "rig", version: "1.0", channels: (&channels).into() };
    hello.encode(&mut [0; MAX_FRAME]).expect("a hello fits a frame").to_vec()
}

/// Its `seq`-th sample.
#[expect(clippy::cast_precision_loss, reason = "tests count to thousands")]
pub(crate) fn sample(seq: u32) -> Vec<u8> {
    let card = format!("card \"{seq}\" é");
    let values = [
        (1, Value::F32(seq as f32 / 4.0 - 20.0)),
        (2, Value::F64(f64::from(seq) * 0.1)),
        (3, Value::Int(i64::from(seq) - 50)),
        (4, Value::Bool(seq % 3 == 0)),
        (9, Value::Text(&card)),
    ];
    let sample = Sample { seq, uptime_ms: 1000 + seq * 10, values: (&values).into() };
    sample.encode(&mut [0; MAX_FRAME]).expect("a sample fits a frame").to_vec()
}

pub(crate) fn samples(numbers: Range<u32>) -> Vec<u8> {
    numbers.flat_map(sample).collect()
}

/// What it says, and so what must arrive.
pub(crate) fn sample_values(numbers: Range<u32>) -> Vec<serde_json::Value> {
    let value = |seq: u32| {
        serde_json::json!({
            "temperature": f64::from(seq) / 4.0 - 20.0,
            "position": f64::from(seq) * 0.1,
            "count": i64::from(seq) - 50,
            "open": seq % 3 == 0,
            "card": format!("card \"{seq}\" é"),
        })
    };
    numbers.map(value).collect()
}
