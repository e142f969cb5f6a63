//! The faults in the bytes between two delimiters.

use crate::{MAX_FRAME, VERSION};

/// The reason why bytes on the line are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More than [`MAX_FRAME`] bytes came without a delimiter. If this repeats,
    /// the baud rate or the protocol is another.
    #[error("failed to hold frame: it exceeds {MAX_FRAME} bytes")]
    TooLong,
    /// The stuffing is inconsistent: bytes were lost, or these are no frames.
    #[error("failed to unstuff frame: a COBS code points past its end")]
    Cobs,
    /// The bytes are too few for a version and a checksum.
    #[error("failed to open frame: it ends before its checksum")]
    TooShort,
    /// Bytes were damaged on the line, or the sender computes another checksum.
    #[error(
        "failed to verify frame: it states CRC {stated:#010x}, its bytes give {computed:#010x}"
    )]
    Crc {
        /// The checksum in the frame.
        stated: u32,
        /// The checksum of the bytes it covers.
        computed: u32,
    },
    /// The sender uses another version of the format.
    #[error("failed to read frame: its version is {0}, not {VERSION}")]
    Version(u8),
    /// The bytes are as they were sent, but their body is not a message: the
    /// sender is at fault.
    #[error("failed to read frame: its body is not exactly one message")]
    Malformed,
}

impl Fault {
    /// A short name for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Fault::TooLong => "too_long",
            Fault::Cobs => "cobs",
            Fault::TooShort => "too_short",
            Fault::Crc { .. } => "crc",
            Fault::Version(_) => "version",
            Fault::Malformed => "malformed",
        }
    }
}
