//! An upload as it arrived: the encoding that its headers name, and its bytes.

use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadEncoding {
    /// The output of `Batch::to_packed`, which is always compressed.
    Packed,
    Lines,
    ZstdLines,
    GzipLines,
}

/// The body of an upload as it arrived.
#[derive(Debug)]
pub(super) struct UploadBody {
    pub(super) encoding: UploadEncoding,
    pub(super) body: Bytes,
}
