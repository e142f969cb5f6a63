//! What the bytes of an upload mean: into an [`Intake`], or refused.
//!
//! Everything here may be hostile. Decompression is bounded, counts are checked before they are
//! computed with, and a fault anywhere fails the upload; its transaction then takes back what was
//! already written. The two encodings are `packed` and `lines`; this file is what they share.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use outstation_codec::{CHANNELS_MAX, NAME_MAX, SegmentError, Value};

use super::intake::Intake;
use super::refusal::Refusal;
use super::{events, lines, packed};

/// Segments announce readings almost for free: this bounds the time of one upload.
pub(super) const READINGS_MAX: u64 = 1 << 20;
/// Beyond 2^53 a number no longer survives the readers of `/stats`. A device needs centuries.
const SEQ_MAX: u64 = 1 << 53;
/// Decompression may ask for 16 MiB of history, not for what a frame happens to announce.
const WINDOW_LOG_MAX: u32 = 24;
const DEVICE_BYTES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `Batch::to_packed`, always compressed.
    Packed,
    Lines,
    ZstdLines,
    GzipLines,
}

/// A body as it arrived.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) encoding: Encoding,
    pub(super) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("failed to decompress the body")]
    Compression(#[source] io::Error),
    #[error("failed to read the batch")]
    Batch(#[source] postcard::Error),
    #[error("{0} bytes follow the batch")]
    Trailing(usize),
    #[error("line {line} is longer than {} MiB", lines::LINE_BYTES_MAX >> 20)]
    LongLine { line: u64 },
    #[error("failed to read line {line}")]
    Line { line: u64, source: serde_json::Error },
    #[error("`time` of line {line} is not like 2026-01-01T00:00:00.000Z")]
    Time { line: u64 },
    #[error("a device is named by 1 to {DEVICE_BYTES_MAX} of the characters A-Z a-z 0-9 . _ -")]
    Device,
    #[error("a port, sensor or channel is named by at most {NAME_MAX} bytes")]
    Name,
    #[error("a sensor has at most {CHANNELS_MAX} channels")]
    Channels,
    #[error("the sensors are not in ascending order")]
    Sensors,
    #[error("sequence number {0} is not between 1 and 2^53")]
    Seq(u64),
    #[error("event position {0} is not between 1 and 2^53")]
    Position(u64),
    #[error("a stream or kind of events is named by 1 to {} bytes", events::NAME_BYTES_MAX)]
    EventName,
    #[error("event {position} is longer than {} KiB", events::DATA_BYTES_MAX >> 10)]
    LongEvent { position: u64 },
    #[error("the event of line {line} is longer than {} KiB", events::DATA_BYTES_MAX >> 10)]
    LongEventLine { line: u64 },
    #[error("segment {0} is empty or begins before the end of the one before it")]
    Order(u64),
    #[error("an upload holds at most {READINGS_MAX} readings or events")]
    Crowd,
    #[error("failed to decode the segments")]
    Segments(#[source] SegmentError),
    #[error("reading {0} refers to a channel that is not described")]
    Channel(u64),
}

/// Hands every event and reading of the upload over, or fails.
pub(super) fn feed(upload: &Upload, intake: &mut Intake<'_>) -> Result<(), Refusal> {
    let body = upload.body.as_ref();
    match upload.encoding {
        Encoding::Packed => packed::feed(decompress(body)?, intake),
        Encoding::Lines => lines::feed(body, intake),
        Encoding::ZstdLines => lines::feed(BufReader::new(decompress(body)?), intake),
        Encoding::GzipLines => lines::feed(BufReader::new(MultiGzDecoder::new(body)), intake),
    }
}

fn decompress(body: &[u8]) -> Result<impl Read, Malformed> {
    let mut decoder = zstd::Decoder::new(body).map_err(Malformed::Compression)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(Malformed::Compression)?;
    Ok(decoder)
}

pub(super) fn too_large(bytes_max: usize) -> Refusal {
    Refusal::TooLarge { what: "decompressed body", bytes_max }
}

pub(super) fn check_device(device: &str) -> Result<(), Malformed> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=DEVICE_BYTES_MAX).contains(&device.len()) && device.bytes().all(plain);
    fits.then_some(()).ok_or(Malformed::Device)
}

pub(super) fn check_name(name: &str) -> Result<(), Malformed> {
    (name.len() <= NAME_MAX).then_some(()).ok_or(Malformed::Name)
}

pub(super) fn check_seq(seq: u64) -> Result<(), Malformed> {
    (1..=SEQ_MAX).contains(&seq).then_some(()).ok_or(Malformed::Seq(seq))
}

pub(super) fn check_position(position: u64) -> Result<(), Malformed> {
    (1..=SEQ_MAX).contains(&position).then_some(()).ok_or(Malformed::Position(position))
}

/// The values of one reading as a JSON object, in memory used again for the next.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<u8>);

impl Cells {
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.push(b'{');
    }

    /// Adds a value under a key as [`key`] makes it. JSON has no number for NaN or infinity: null.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&Value>) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(key);
        match value {
            None => self.json(&()),
            Some(Value::Bool(bool)) => self.json(bool),
            Some(Value::Int(int)) => self.json(int),
            Some(Value::F32(float)) => self.json(float),
            Some(Value::F64(float)) => self.json(float),
            Some(Value::Text(text)) => self.json(&text.as_ref()),
        }
    }

    pub(super) fn finish(&mut self) -> &str {
        self.0.push(b'}');
        std::str::from_utf8(&self.0).expect("JSON is UTF-8")
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("memory takes every value");
    }
}

/// A channel's name as the key of a JSON object.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = serde_json::to_vec(name).expect("memory takes every value");
    key.push(b':');
    key
}
