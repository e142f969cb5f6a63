//! Encodes a frame into the bytes to send.

use crate::seal::Sealer;
use crate::{Frame, Hello, Log, MAX_FRAME, Sample};

/// The reason why a frame could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No receiver would accept the frame. The sender can split the channels or
    /// values over two frames.
    #[error("failed to encode frame: it exceeds {MAX_FRAME} bytes")]
    TooLong,
    /// The caller's buffer is shorter than the frame, and than [`MAX_FRAME`].
    #[error("failed to encode frame: it exceeds the buffer of {bytes} bytes")]
    BufferTooSmall {
        /// The length of the buffer.
        bytes: usize,
    },
}

impl Frame<'_> {
    /// Writes the frame with its delimiter to the front of `buf` and returns
    /// that part, ready to send. [`MAX_FRAME`] bytes are enough for any frame.
    ///
    /// # Errors
    ///
    /// If the frame does not fit into `buf` or exceeds [`MAX_FRAME`]; the
    /// content of `buf` is then undefined.
    pub fn encode<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let (room, full) = match buf.len() {
            bytes @ ..MAX_FRAME => (bytes, EncodeError::BufferTooSmall { bytes }),
            MAX_FRAME.. => (MAX_FRAME, EncodeError::TooLong),
        };
        // With these types, encoding can fail only for lack of room.
        Sealer::try_new(&mut buf[..room])
            .and_then(|sealer| postcard::serialize_with_flavor(self, sealer))
            .map(|line: &mut [u8]| &*line)
            .map_err(|_| full)
    }
}

impl Hello<'_> {
    /// Encodes the hello as a frame; see [`Frame::encode`].
    pub fn encode<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        Frame::from(*self).encode(buf)
    }
}

impl Sample<'_> {
    /// Encodes the sample as a frame; see [`Frame::encode`].
    pub fn encode<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        Frame::from(*self).encode(buf)
    }
}

impl Log<'_> {
    /// Encodes the log message as a frame; see [`Frame::encode`].
    pub fn encode<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        Frame::from(*self).encode(buf)
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;
    use crate::Level;

    fn log_of(text: &str) -> Log<'_> {
        Log { level: Level::Info, text }
    }

    #[test]
    fn a_frame_fits_a_buffer_of_exactly_its_length_and_none_smaller() {
        let mut buf = [0; 64];
        let needed = log_of("pump on").encode(&mut buf).expect("fits 64 bytes").len();
        assert!(log_of("pump on").encode(&mut buf[..needed]).is_ok());
        for bytes in 0..needed {
            let refused = log_of("pump on").encode(&mut buf[..bytes]);
            assert_eq!(refused, Err(EncodeError::BufferTooSmall { bytes }));
        }
    }

    #[test]
    fn no_frame_exceeds_max_frame_however_large_the_buffer() {
        let mut buf = [0; 2 * MAX_FRAME];
        let longest = (0..MAX_FRAME)
            .map(|len| String::from_iter(core::iter::repeat_n('x', len)))
            .map_while(|text| log_of(&text).encode(&mut buf).ok().map(<[u8]>::len))
            .last();
        assert_eq!(longest, Some(MAX_FRAME));
        let endless = String::from_iter(core::iter::repeat_n('x', 70_000));
        assert_eq!(log_of(&endless).encode(&mut buf), Err(EncodeError::TooLong));
    }

    #[test]
    fn errors_name_the_operation_and_its_limit() {
        let texts = [EncodeError::TooLong, EncodeError::BufferTooSmall { bytes: 8 }];
        assert_eq!(
            texts.map(|error| error.to_string()),
            [
                "failed to encode frame: it exceeds 1024 bytes",
                "failed to encode frame: it exceeds the buffer of 8 bytes"
            ]
        );
    }
}
