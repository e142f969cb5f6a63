//! The bounds of an upload, and the error for each way in which an upload is malformed.
//!
//! Senders may be hostile: names and numbers are checked here before they are used in computations or
//! stored.

use std::io;

use outstation_codec::{CHANNELS_MAX, NAME_MAX, PackedError, SegmentError};

/// The largest number of readings. A segment can announce readings at almost no cost, so this bounds the
/// time of one upload.
pub(super) const READINGS_MAX: u64 = 1 << 20;
/// The longest line. One with 256 channels and the longest texts fits.
pub(super) const LINE_BYTES_MAX: usize = 2 << 20;
/// The longest event. The description of a sensor with as many channels and as long names as allowed fits.
pub(super) const EVENT_BYTES_MAX: usize = 256 << 10;
/// The longest name of a stream or of a kind of events.
const EVENT_NAME_BYTES_MAX: usize = 128;
/// The largest number of a reading or event. Beyond 2^53 JSON readers of `/stats` lose precision; a device
/// needs centuries to get there.
const SEQ_MAX: u64 = 1 << 53;
const DEVICE_BYTES_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("failed to decompress the body")]
    Compression(#[source] io::Error),
    #[error(transparent)]
    Batch(#[from] PackedError),
    #[error("line {line} is longer than {} MiB", LINE_BYTES_MAX >> 20)]
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
    #[error("a stream or kind of events is named by 1 to {} bytes", EVENT_NAME_BYTES_MAX)]
    EventName,
    #[error("event {position} is longer than {} KiB", EVENT_BYTES_MAX >> 10)]
    LongEvent { position: u64 },
    #[error("the event of line {line} is longer than {} KiB", EVENT_BYTES_MAX >> 10)]
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

/// Checks the name of a stream or of a kind of events.
pub(super) fn check_event_name(name: &str) -> Result<(), Malformed> {
    let fits = (1..=EVENT_NAME_BYTES_MAX).contains(&name.len());
    fits.then_some(()).ok_or(Malformed::EventName)
}
