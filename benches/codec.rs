//! The segment codec and the line decoder without I/O around them: speed on workload W1, and sizes
//! on several beside what general compressors make of the same readings as JSON lines.
//!
//! Times are of this machine now. For counts that compare across machines run it under callgrind:
//!
//! ```sh
//! cargo bench --bench codec --no-run
//! valgrind --tool=callgrind target/release/deps/codec-* encode   # or decode, parse, sizes; less `none`
//! ```

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark reads the time and prints figures"
)]

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};

use outstation::bench::w1::W1Lines as W1;
use outstation::config::Config;
use outstation::protocols::{Decoder, Outbox};
use outstation_codec::{Segment, Stamp, Value};

#[path = "codec/workloads.rs"]
mod workloads;

use workloads::{Reading, Workload};

/// One second of W1.
const READINGS: usize = 1000;
const ROUNDS: usize = 200;

/// What its lines are.
const PORT: &str = r#"
[[port]]
name = "w1"
path = "/dev/w1"
framing = "lines"
format = "json"
sensor_key = "sensor"
time_key = "ts"
time_unit = "ms"
sequence_key = "seq"
"#;

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
    if wanted("sizes") {
        println!("\nbytes per reading | segment | gzip -6 | zstd -3");
        for workload in workloads::all() {
            sizes(&workload, 1);
            sizes(&workload, 60);
        }
    }
}

/// What a span takes in the mean: as one segment, merged of those of its seconds, and as JSON lines.
/// Sixty spans from all over the workload: each goes through a gzip of its own.
fn sizes(workload: &Workload, span: usize) {
    let spans = workload.seconds.chunks_exact(span);
    let every = (spans.len() / 60).max(1);
    let spans: Vec<&[Vec<Reading>]> = spans.step_by(every).take(60).collect();
    let (mut readings, mut segments, mut gzips, mut zstds) = (0, 0, 0, 0);
    for span in &spans {
        let mut segment = Segment::default();
        let mut text = String::new();
        for second in *span {
            assert!(segment.append(&workload.segment(second)), "a span is within the bounds");
            text.push_str(&workload.json(second));
        }
        readings += segment.len();
        segments += segment.encode().len();
        gzips += gzip(text.as_bytes());
        zstds += zstd::bulk::compress(text.as_bytes(), 3).expect("compresses").len();
    }
    let [segment, gzip, zstd] = [segments, gzips, zstds].map(|all| all as f64 / readings as f64);
    let name = format!("{} by {span} s", workload.name);
    println!("{name:17} | {segment:7.3} | {gzip:7.3} | {zstd:7.3}");
}

fn gzip(text: &[u8]) -> usize {
    let mut gzip = Command::new("gzip")
        .arg("-6")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`gzip` is installed");
    let mut input = gzip.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // It writes while it reads: who only fed it first could wait for ever.
        scope.spawn(move || input.write_all(text).expect("gzip reads"));
        gzip.wait_with_output().expect("gzip ends").stdout.len()
    })
}

fn parse(text: &str) {
    let config = Config::parse(PORT, "the benchmark").expect("it is one");
    let mut decoder = Decoder::new("w1", &config.ports[0].framing);
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
