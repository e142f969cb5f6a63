//! The envelope around a body, for sender and receiver: the version in front,
//! the checksum behind, and COBS around both.

use crc::{CRC_32_ISO_HDLC, Crc};
use postcard::ser_flavors::{Cobs, Flavor, Slice};

use crate::{Fault, VERSION};

/// CRC-32 (IEEE) with one table: 1 KiB of flash and one lookup per byte.
///
/// `crc32fast` is faster on a server, but without `std` it detects no CPU
/// feature and falls back to 16 KiB of tables: a quarter of the flash of a
/// small microcontroller, to check a line that carries at most some 300 kB/s.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Seals a frame while serde writes it: each byte goes through the checksum and
/// the stuffing straight into the caller's buffer, so a frame is never held in
/// memory twice.
pub(crate) struct Sealer<'b> {
    stuffed: Cobs<Slice<'b>>,
    digest: crc::Digest<'static, u32>,
}

impl<'b> Sealer<'b> {
    pub(crate) fn try_new(buf: &'b mut [u8]) -> postcard::Result<Self> {
        let mut sealer = Sealer { stuffed: Cobs::try_new(Slice::new(buf))?, digest: CRC.digest() };
        sealer.try_push(VERSION)?;
        Ok(sealer)
    }
}

impl<'b> Flavor for Sealer<'b> {
    type Output = &'b mut [u8];

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.digest.update(bytes);
        self.stuffed.try_extend(bytes)
    }

    fn finalize(mut self) -> postcard::Result<Self::Output> {
        self.stuffed.try_extend(&self.digest.finalize().to_le_bytes())?;
        self.stuffed.finalize()
    }
}

/// Opens the bytes between two delimiters in place, and returns the body.
pub(crate) fn open(stuffed: &mut [u8]) -> Result<&[u8], Fault> {
    let frame = unstuff(stuffed).ok_or(Fault::Cobs)?;
    let (covered, stated) = frame.split_last_chunk().ok_or(Fault::TooShort)?;
    let (version, body) = covered.split_first().ok_or(Fault::TooShort)?;
    let (stated, computed) = (u32::from_le_bytes(*stated), CRC.checksum(covered));
    if stated != computed {
        Err(Fault::Crc { stated, computed })
    } else if *version != VERSION {
        Err(Fault::Version(*version))
    } else {
        Ok(body)
    }
}

/// Undoes COBS in place. Each code byte gives the distance to the next one, and
/// stands for a zero there unless it is 255, the longest step, or the last.
/// Writing never overtakes reading, since each step drops its code byte.
fn unstuff(bytes: &mut [u8]) -> Option<&[u8]> {
    let (mut read, mut write) = (0, 0);
    while let Some(&code) = bytes.get(read) {
        let end = read + usize::from(code);
        if code == 0 || end > bytes.len() {
            return None;
        }
        bytes.copy_within(read + 1..end, write);
        write += end - read - 1;
        read = end;
        if code < u8::MAX && read < bytes.len() {
            bytes[write] = 0;
            write += 1;
        }
    }
    bytes.get(..write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_everybody_calls_crc32() {
        assert_eq!(CRC.checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn unstuffing_follows_the_examples_everybody_quotes() {
        let unstuffed = |stuffed: &[u8]| unstuff(&mut stuffed.to_vec()).map(<[u8]>::to_vec);
        assert_eq!(unstuffed(&[1, 1]), Some([0].into()));
        assert_eq!(unstuffed(&[1, 1, 1]), Some([0, 0].into()));
        assert_eq!(unstuffed(&[3, 17, 34, 2, 51]), Some([17, 34, 0, 51].into()));
        assert_eq!(unstuffed(&[2, 17, 1, 1, 1]), Some([17, 0, 0, 0].into()));
    }

    #[test]
    fn a_step_of_255_stands_for_no_zero_and_may_be_followed_by_an_empty_one() {
        let mut longest = [7; 256];
        longest[0] = 255;
        longest[255] = 1;
        assert_eq!(unstuff(&mut longest.clone()), Some(&[7; 254][..]));
        assert_eq!(unstuff(&mut longest[..255]), Some(&[7; 254][..]));
    }

    #[test]
    fn a_code_that_points_past_the_end_or_nowhere_is_refused() {
        assert_eq!(unstuff(&mut [3, 1]), None);
        assert_eq!(unstuff(&mut [2, 1, 0]), None);
    }
}
