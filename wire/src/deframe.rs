//! Decodes bytes, in whatever chunks a port delivers them, into frames and
//! faults.

use core::{fmt, mem};

use crate::{DELIMITER, Fault, Frame, MAX_FRAME, seal};

/// Cuts a stream of bytes into frames and faults. It never fails, holds one
/// frame at most and accounts for every byte that it was given:
///
/// ```text
/// bytes fed = received.bytes, summed + padding_bytes() + pending_bytes() + reset(), summed
/// ```
///
/// A frame that came in one chunk takes the same path as any other: the copy
/// costs less than a hundredth of the checksum, and unstuffing needs a buffer
/// in any case.
pub struct Deframer {
    /// The bytes since the last delimiter, as far as they can belong to a
    /// frame.
    held: [u8; MAX_FRAME - 1],
    /// The number of bytes since the last delimiter, held or not. It is a
    /// `u64`, because a wrong baud rate may give no delimiter for days, and a
    /// `u32` would overflow.
    pending_bytes: u64,
    padding_bytes: u64,
}

/// The frame or fault in the bytes up to a delimiter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received<'a> {
    /// The number of bytes on the line, including the delimiter.
    pub bytes: u64,
    /// The frame, or the reason why the bytes are none.
    pub frame: Result<Frame<'a>, Fault>,
}

impl Deframer {
    /// Creates a deframer that has seen no bytes yet.
    pub const fn new() -> Self {
        Deframer { held: [0; MAX_FRAME - 1], pending_bytes: 0, padding_bytes: 0 }
    }

    /// Consumes `input` up to the end of the next frame or fault. If there is
    /// no such end, it consumes all of `input` and returns `None`; the caller
    /// should call it until then.
    pub fn next<'a>(&'a mut self, input: &mut &[u8]) -> Option<Received<'a>> {
        loop {
            let end = input.iter().position(|byte| *byte == DELIMITER);
            let (span, rest) = input.split_at(end.unwrap_or(input.len()));
            self.hold(span);
            *input = rest.get(1..).unwrap_or_default();
            end?;
            if self.pending_bytes > 0 {
                break;
            }
            self.padding_bytes += 1;
        }
        let pending_bytes = mem::take(&mut self.pending_bytes);
        Some(Received { bytes: pending_bytes + 1, frame: self.open(pending_bytes) })
    }

    /// Drops a partial frame and returns the number of its bytes. Call this
    /// when the port was opened again, since the bytes that follow do not
    /// continue the frame.
    pub fn reset(&mut self) -> u64 {
        mem::take(&mut self.pending_bytes)
    }

    /// The number of bytes since the last delimiter. More than [`MAX_FRAME`]
    /// show that the sender does not speak this format, before any fault can.
    pub const fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// The bytes since the last delimiter, as long as they can belong to a
    /// frame; empty if they are too many. Another deframer that is given these
    /// bytes is in the same state as this one.
    pub fn pending(&self) -> &[u8] {
        let pending = usize::try_from(self.pending_bytes).unwrap_or(usize::MAX);
        self.held.get(..pending).unwrap_or_default()
    }

    /// The number of delimiters so far that ended no frame: a sender uses them
    /// to flush the line.
    pub const fn padding_bytes(&self) -> u64 {
        self.padding_bytes
    }

    /// Appends as many bytes as fit. A frame that did not fit is too long
    /// whatever is held of it, and `pending_bytes` shows that.
    fn hold(&mut self, span: &[u8]) {
        let used = usize::try_from(self.pending_bytes).unwrap_or(usize::MAX);
        let room = self.held.get_mut(used..).unwrap_or_default();
        let fitting = span.len().min(room.len());
        room[..fitting].copy_from_slice(&span[..fitting]);
        self.pending_bytes += span.len() as u64;
    }

    fn open(&mut self, bytes: u64) -> Result<Frame<'_>, Fault> {
        let held = usize::try_from(bytes).ok().and_then(|bytes| self.held.get_mut(..bytes));
        let body = seal::open(held.ok_or(Fault::TooLong)?)?;
        Frame::from_body(body).map_err(|_| Fault::Malformed)
    }
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deframer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deframer")
            .field("pending_bytes", &self.pending_bytes)
            .field("padding_bytes", &self.padding_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
