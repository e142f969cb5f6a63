//! What stands half read on a port.

/// What a decoder has begun and not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// Bytes of a frame still incomplete.
    pub bytes: u64,
    /// Frames that wait for their sensor to introduce itself.
    pub frames: u64,
}
