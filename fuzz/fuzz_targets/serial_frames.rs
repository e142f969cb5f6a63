//! Any bytes on a line that should carry frames of outstation-wire.
//!
//! Invariants checked: decoding ends, in bounded memory; every byte and frame is accounted for after
//! every read; how the bytes are cut into reads changes neither books nor readings; an interruption
//! leaves nothing half read.

#![no_main]

mod decoding;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outstation::protocols::{Decoder, Framing};

static FRAMES: LazyLock<Framing> =
    LazyLock::new(|| decoding::framing("framing = \"postcard\""));

fuzz_target!(|bytes: &[u8]| {
    decoding::examine(|| Decoder::new("p", &FRAMES), bytes);
});
