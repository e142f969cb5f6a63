//! The numbers of the format, which both ends hold to.

/// The format this crate speaks; the first byte of each frame. The place of this
/// byte, the stuffing and the checksum are the same in every version, so that a
/// receiver can tell a newer sensor from a noisy line.
pub const VERSION: u8 = 1;

/// Ends each frame and occurs nowhere else. Sent alone it ends whatever noise
/// came before, and is skipped by the receiver.
pub const DELIMITER: u8 = 0;

/// The longest frame in bytes, stuffed, with its delimiter.
///
/// Room for a [`Hello`](crate::Hello) of some 40 channels; one second at 9600
/// baud, the longest a line should be taken by one message; a receive buffer
/// that an 8 KiB microcontroller can afford too; and short enough for CRC-32 to
/// detect any three wrong bits of what it covers. A sender needs a buffer for
/// its own longest frame only.
pub const MAX_FRAME: usize = 1024;
