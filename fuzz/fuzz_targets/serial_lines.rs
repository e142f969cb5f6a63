//! Any bytes on a line that should carry text: JSON, keys and values, or CSV.
//!
//! Invariants checked: decoding ends, in bounded memory; every byte and line is accounted for after
//! every read; how the bytes are cut into reads changes neither books nor readings; an interruption
//! leaves nothing half read.

#![no_main]

mod decoding;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outstation::protocols::{Decoder, Framing};

const FORMATS: [&str; 3] = [
    "\"json\"",
    "\"key-value\"",
    "\"csv\"\ncolumns = [\"t\", \"id\", \"n\", \"ts\", \"open\"]",
];
const ROLES: &str =
    "sensor_key = \"id\"\ntime_key = \"ts\"\ntime_unit = \"ms\"\nsequence_key = \"n\"";

static PLAIN: LazyLock<[Framing; 3]> = LazyLock::new(|| framings(""));
static WITH_ROLES: LazyLock<[Framing; 3]> = LazyLock::new(|| framings(ROLES));

fn framings(roles: &str) -> [Framing; 3] {
    FORMATS.map(|format| {
        decoding::framing(&format!("framing = \"lines\"\nline_max = 256\nformat = {format}\n{roles}"))
    })
}

// The first byte says what lines are, the rest is for `decoding`.
fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = bytes.split_first() else { return };
    let framings = if what & 0x80 != 0 { &*WITH_ROLES } else { &*PLAIN };
    decoding::examine(|| Decoder::new("p", &framings[usize::from(what % 3)]), bytes);
});
