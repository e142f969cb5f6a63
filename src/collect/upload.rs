//! An upload as it arrived: what its headers call it, and its bytes.

use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadEncoding {
    /// `Batch::to_packed`, always compressed.
    Packed,
    Lines,
    ZstdLines,
    GzipLines,
}

/// A body as it arrived.
#[derive(Debug)]
pub(super) struct UploadBody {
    pub(super) encoding: UploadEncoding,
    pub(super) body: Bytes,
}
