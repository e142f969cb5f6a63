//! From bytes, in whatever chunks a port gives them, to frames and faults.

use core::{fmt, mem};

use crate::{DELIMITER, Fault, Frame, MAX_FRAME, seal};

/// Cuts a stream of bytes into frames and faults. It never fails, holds one
/// frame at most and accounts for every byte it was fed:
///
/// ```text
/// bytes fed = received.bytes, summed + padding_bytes() + pending_bytes() + reset(), summed
/// ```
///
/// There is one way through it, also for a frame that came in one chunk: the
/// copy costs less than a hundredth of the checksum, and unstuffing needs a
/// buffer of our own in any case.
pub struct Deframer {
    /// The bytes since the last delimiter, as far as they can belong to a frame.
    held: [u8; MAX_FRAME - 1],
    /// All bytes since the last delimiter, held or not. These are `u64` since a
    /// wrong baud rate gives no delimiter for days, which a `u32` does not last.
    pending_bytes: u64,
    padding_bytes: u64,
}

/// What a [`Deframer`] made of the bytes up to a delimiter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received<'a> {
    /// How many bytes of the line this is, with the delimiter.
    pub bytes: u64,
    /// What they are.
    pub frame: Result<Frame<'a>, Fault>,
}

impl Deframer {
    /// A deframer that has seen nothing yet.
    pub const fn new() -> Self {
        Deframer { held: [0; MAX_FRAME - 1], pending_bytes: 0, padding_bytes: 0 }
    }

    /// Consumes `input` up to the end of the next frame or fault, or all of it,
    /// with `None`, if there is no such end. Call it until it returns `None`.
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

    /// Forgets an unfinished frame and returns how many bytes it had. For when
    /// the port was opened again and what follows does not continue it.
    pub fn reset(&mut self) -> u64 {
        mem::take(&mut self.pending_bytes)
    }

    /// Bytes consumed since the last delimiter. More than [`MAX_FRAME`] tell of a
    /// line that does not speak this format, before any fault can.
    pub const fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// The bytes consumed since the last delimiter, for as long as they can belong
    /// to a frame; none when they are too many. Fed to another deframer, they
    /// bring it to where this one is.
    pub fn pending(&self) -> &[u8] {
        let pending = usize::try_from(self.pending_bytes).unwrap_or(usize::MAX);
        self.held.get(..pending).unwrap_or_default()
    }

    /// Delimiters skipped so far that ended nothing: a sender's way to flush the
    /// line.
    pub const fn padding_bytes(&self) -> u64 {
        self.padding_bytes
    }

    /// Appends what fits. A frame of which something did not fit is too long
    /// whatever is held of it, and `pending_bytes` says so.
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
