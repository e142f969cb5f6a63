//! The numbers of the format, which both ends must use.

/// The version of the format that this crate uses, which is the first byte of
/// each frame. The place of this byte, the stuffing and the checksum are the
/// same in every version, so that a receiver can tell a newer sensor from a
/// noisy line.
pub const VERSION: u8 = 1;

/// The byte that ends each frame and occurs nowhere else in it. A delimiter
/// sent alone ends any noise before it, and the receiver skips it.
pub const DELIMITER: u8 = 0;

/// The length of the longest frame in bytes, stuffed, with its delimiter.
///
/// There is room for a [`Hello`](crate::Hello) of some 40 channels. At 9600
/// baud such a frame takes one second, and a message should not occupy the line
/// for longer. A microcontroller with 8 KiB can afford a receive buffer of this
/// size, and CRC-32 detects any three wrong bits in so short a frame. A sender
/// needs a buffer only for its own longest frame.
pub const MAX_FRAME: usize = 1024;
