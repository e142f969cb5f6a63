//! What the bytes of an upload mean: into an [`Intake`], or refused.
//!
//! Everything here may be hostile. Decompression is bounded, counts are checked before they are
//! computed with, and a fault anywhere fails the upload; its transaction then takes back what was
//! already written. The two encodings are `packed` and `lines`; this file chooses between them.

use std::io::{BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::intake::Intake;
use super::limits::Malformed;
use super::refusal::Refusal;
use super::upload::{Encoding, Upload};
use super::{lines, packed};

/// Decompression may ask for 16 MiB of history, not for what a frame happens to announce.
const WINDOW_LOG_MAX: u32 = 24;

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
