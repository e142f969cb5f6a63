//! Prints a packed batch as JSON lines, events before readings. For the body of a request:
//! `zstd -d < body > batch; cargo run --example packed_to_json batch`.

use std::error::Error;
use std::io::{self, Write};

use outstation_codec::{Batch, Value};
use serde_json::{Map, Value as Json, json};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a file that holds a packed batch")?;
    Ok(io::stdout().write_all(lines(&std::fs::read(path)?)?.as_bytes())?)
}

pub(crate) fn lines(packed: &[u8]) -> Result<String, Box<dyn Error>> {
    let (batch, mut lines) = (Batch::from_packed(packed)?, Vec::new());
    for record in &batch.events {
        let (time_ms, clock_set) = batch.date(record.at());
        lines.push(json!({"event": record.position, "stream": record.stream, "time_ms": time_ms,
            "clock_set": clock_set, "kind": record.event.kind(), "says": record.event}));
    }
    batch.for_each(|dated| {
        let values = dated.values().map(|(channel, value)| (channel.name.clone(), json(value)));
        lines.push(json!({"seq": dated.reading.seq, "sensor": dated.sensor.name, "values":
            Map::from_iter(values), "time_ms": dated.time_ms, "clock_set": dated.clock_set}));
    })?;
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::F32(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::Text(value) => json!(&**value),
    }
}
