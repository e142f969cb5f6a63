//! Decodes the bytes of an upload into an [`IntakeTransaction`], or refuses them.
//!
//! The bytes may be hostile. Decompression is bounded, counts are checked before they are used in
//! computations, and a fault anywhere fails the upload; its transaction then undoes everything already
//! written. The two encodings are in `packed` and `lines`; this file chooses between them.

use std::io::{BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::intake::IntakeTransaction;
use super::limits::Malformed;
use super::refusal::UploadRefusal;
use super::upload::{UploadBody, UploadEncoding};
use super::{lines, packed};

/// The largest window of a zstd frame: 16 MiB, instead of any size that a frame may ask for.
const WINDOW_LOG_MAX: u32 = 24;

/// Stores every event and reading of the upload, or fails.
pub(super) fn feed(
    upload: &UploadBody,
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    let body = upload.body.as_ref();
    match upload.encoding {
        UploadEncoding::Packed => packed::feed(decompress(body)?, intake),
        UploadEncoding::Lines => lines::feed(body, intake),
        UploadEncoding::ZstdLines => lines::feed(BufReader::new(decompress(body)?), intake),
        UploadEncoding::GzipLines => lines::feed(BufReader::new(MultiGzDecoder::new(body)), intake),
    }
}

fn decompress(body: &[u8]) -> Result<impl Read, Malformed> {
    let mut decoder = zstd::Decoder::new(body).map_err(Malformed::Compression)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(Malformed::Compression)?;
    Ok(decoder)
}
