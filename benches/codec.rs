//! The segment codec and the line decoder on workload W1, without I/O around them.
//!
//! Times are of this machine now. For counts that compare across machines run it under callgrind:
//!
//! ```sh
//! cargo bench --bench codec --no-run
//! valgrind --tool=callgrind target/release/deps/codec-* encode   # or decode, parse
//! ```

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark reads the time and prints figures"
)]

use std::hint::black_box;

use outstation::bench::w1::Lines as W1;
use outstation::config::{Format, Lines, TimeKey, TimeUnit};
use outstation::domain::reading::{Stamp, Value};
use outstation::domain::segment::Segment;
use outstation::ingest::{Decoder, LinesDecoder, Outbox};

/// One second of W1.
const READINGS: usize = 1000;
const ROUNDS: usize = 200;

fn main() {
    let only = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let text: String = W1::new().take(READINGS * ROUNDS).collect();
    if wanted("parse") {
        report("parse", || parse(&text));
    }
    let mut segments = segments();
    let bodies: Vec<Vec<u8>> = segments.iter_mut().map(Segment::encode).collect();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    println!(
        "{:.3} bytes per reading in segments of {READINGS}",
        bytes as f64 / (READINGS * ROUNDS) as f64
    );
    if wanted("encode") {
        report("encode", || {
            segments.iter_mut().for_each(|segment| drop(black_box(segment.encode())))
        });
    }
    if wanted("decode") {
        report("decode", || {
            for body in &bodies {
                black_box(Segment::decode(body, READINGS).expect("decodes what was encoded"));
            }
        });
    }
}

fn parse(text: &str) {
    let lines = Lines {
        format: Format::Json,
        sensor_key: Some("sensor".into()),
        time: Some(TimeKey { key: "ts".into(), unit: TimeUnit::Milliseconds }),
        sequence_key: Some("seq".into()),
        line_max: 4096,
    };
    let mut decoder = Decoder::Lines(Box::new(LinesDecoder::new("w1", &lines)));
    for chunk in text.as_bytes().chunks(4096) {
        let mut out = Outbox::default();
        decoder.feed(chunk, 0, &mut out);
        black_box(out);
    }
}

/// W1 in segments, with the values that the lines carry.
fn segments() -> Vec<Segment> {
    let lines: Vec<serde_json::Value> = W1::new()
        .take(READINGS * ROUNDS)
        .map(|line| serde_json::from_str(&line).expect("W1 is JSON"))
        .collect();
    let segment = |lines: &[serde_json::Value]| {
        let mut segment = Segment::default();
        for line in lines {
            let sensor =
                line["sensor"].as_str().and_then(|name| name[1..].parse().ok()).expect("t0 to t9");
            let stamp = Stamp::unix(line["ts"].as_i64().expect("a time"));
            let value = Value::F64(line["value"].as_f64().expect("a value"));
            segment.push(sensor, stamp, [(0, value)].into_iter());
        }
        segment
    };
    lines.chunks(READINGS).map(segment).collect()
}

fn report(name: &str, run: impl FnOnce()) {
    let started = std::time::Instant::now();
    run();
    let per_reading = started.elapsed().as_secs_f64() * 1e9 / (READINGS * ROUNDS) as f64;
    println!("{name}: {per_reading:.0} ns per reading");
}
