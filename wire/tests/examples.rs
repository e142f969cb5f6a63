//! The README's bytes, the Rust example and the C encoder must agree, or one of
//! them would mislead whoever writes firmware.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use outstation_wire::{Deframer, Frame, Level, Log, MAX_FRAME, Sample, Value};

#[expect(dead_code, reason = "its main is for people")]
#[path = "../examples/firmware.rs"]
mod firmware;

fn line(encode: impl FnOnce(&mut [u8]) -> Result<&[u8], outstation_wire::EncodeError>) -> Vec<u8> {
    encode(&mut [0; MAX_FRAME]).expect("fits MAX_FRAME").to_vec()
}

/// The bytes of each `hex` block; what follows `;` is for people.
fn readme_blocks() -> Vec<Vec<u8>> {
    include_str!("../README.md")
        .split("```hex\n")
        .skip(1)
        .map(|block| block.split("```").next().expect("split gives at least one"))
        .map(|block| block.lines().flat_map(|line| line.split(';').next()).collect::<Vec<_>>())
        .map(|lines| lines.join(" "))
        .map(|hex| hex.split_whitespace().map(parse_hex).collect())
        .collect()
}

fn parse_hex(byte: &str) -> u8 {
    u8::from_str_radix(byte, 16).expect("README gives two hex digits")
}

/// By another hand than ours: the `cobs` crate.
fn unstuffed(line: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; line.len()];
    let len = cobs::decode(line, &mut plain).expect("is well stuffed");
    plain.truncate(len);
    plain
}

#[test]
fn the_readme_shows_what_the_firmware_example_sends() {
    let [hello_plain, hello_line, sample_plain, sample_line] =
        readme_blocks().try_into().expect("README has four hex blocks");
    assert_eq!(hello_line, line(firmware::hello));
    assert_eq!(sample_line, line(|buf| firmware::sample(buf, 7, 61_000)));
    assert_eq!(hello_plain, unstuffed(&hello_line));
    assert_eq!(sample_plain, unstuffed(&sample_line));
}

#[test]
fn the_readme_names_every_reason_for_a_fault() {
    use outstation_wire::Fault::*;
    let crc = Crc { stated: 0, computed: 1 };
    for fault in [TooLong, Cobs, TooShort, crc, Version(2), Malformed] {
        let row = format!("\n| `{}` |", fault.reason());
        assert!(include_str!("../README.md").contains(&row), "{row}");
    }
}

#[test]
fn the_c_encoder_sends_what_the_firmware_example_sends_and_all_other_values() {
    let Some(sender) = compiled("frames") else {
        return;
    };
    let values = [
        (300, Value::Int(-2)),
        (301, Value::Int(i64::MIN)),
        (302, Value::F64(52.520_008)),
        (303, Value::Text("04:A2")),
    ];
    let others = Sample { seq: u32::MAX, uptime_ms: 0, values: (&values).into() };
    let expected = [
        vec![0],
        line(firmware::hello),
        line(|buf| firmware::sample(buf, 7, 61_000)),
        line(|buf| firmware::log(buf, "door open for 30 min")),
        line(|buf| others.encode(buf)),
    ];
    let sent = output(&sender, None).expect("every frame fits");
    assert_eq!(sent, expected.concat());

    let mut deframer = Deframer::new();
    let (mut input, mut last) = (sent.as_slice(), None);
    while let Some(received) = deframer.next(&mut input) {
        last = Some(received.frame.map(|frame| frame == Frame::Sample(others)));
    }
    assert_eq!((last, deframer.padding_bytes()), (Some(Ok(true)), 1));
}

#[test]
fn the_c_encoder_agrees_on_texts_around_the_longest_cobs_step_and_the_longest_frame() {
    let Some(sender) = compiled("texts") else {
        return;
    };
    for len in (0..10).chain(240..260).chain(495..515).chain(1000..1025) {
        let text = "x".repeat(len);
        let mut buf = [0; MAX_FRAME];
        let expected = Log { level: Level::Warn, text: &text }.encode(&mut buf);
        assert_eq!(output(&sender, Some(&text)).as_deref(), expected.ok(), "{len} bytes");
    }
}

/// The C example as a program, or `None`, said loudly, where there is no `cc`.
fn compiled(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sample.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"];
    match Command::new("cc").args(strict).arg("-o").args([&program, &source]).status() {
        Ok(status) => {
            assert!(status.success(), "{} must compile without a warning", source.display());
            Some(program)
        }
        Err(error) => {
            skip(&format!("the C encoder is UNCHECKED: failed to run `cc`: {error}"));
            None
        }
    }
}

/// Past the capture of `eprintln!`, which would hide it while the test passes.
fn skip(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("stderr is open");
}

/// What the program wrote, or `None` if it refused.
fn output(program: &Path, text: Option<&str>) -> Option<Vec<u8>> {
    let output = Command::new(program).args(text).output().expect("was just compiled");
    output.status.success().then_some(output.stdout)
}
