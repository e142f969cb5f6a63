//! The size of what a decoder has partly read. It is not counted in the account of a port yet.

/// The bytes and frames that a decoder has received and not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The bytes of a partial frame or line.
    pub bytes: u64,
    /// The number of complete frames that wait until their sensor describes itself.
    pub frames: u64,
}
