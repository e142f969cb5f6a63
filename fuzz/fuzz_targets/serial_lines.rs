//! Any bytes on a line that should carry text: JSON, keys and values, or CSV.
//!
//! Invariants checked: decoding ends, in bounded memory; every byte and line is accounted for after
//! every read; how the bytes are cut into reads changes neither books nor readings; an interruption
//! leaves nothing half read.

#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use outstation::config::{Format, Framing, Lines, TimeKey, TimeUnit};
use outstation::ingest::Decoder;

// The first byte says what lines are, the rest is for `decoding`.
fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = bytes.split_first() else { return };
    let format = match what % 3 {
        0 => Format::Json,
        1 => Format::KeyValue,
        _ => {
            let columns = ["t", "id", "n", "ts", "open"].map(str::to_owned).to_vec();
            Format::Csv { columns, delimiter: b',' }
        }
    };
    let all = what & 0x80 != 0;
    let lines = Framing::Lines(Lines {
        format,
        sensor_key: all.then(|| "id".to_owned()),
        time: all.then(|| TimeKey { key: "ts".to_owned(), unit: TimeUnit::Milliseconds }),
        sequence_key: all.then(|| "n".to_owned()),
        line_max: 256,
    });
    decoding::examine(|| Decoder::new("p", &lines), bytes);
});
