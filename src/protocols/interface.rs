//! What every protocol does: bytes in, readings and faults out.

use std::fmt::Debug;

use super::outbox::Outbox;
use super::partial::Partial;

/// How the bytes of one port become readings. The same bytes with the same times of arrival give the same
/// readings again, however they are cut into reads: after a kill they are decoded anew from the tail.
///
/// Whatever comes is in the books once. After every call, with what is half read as `partial`:
///
/// ```text
/// bytes  = frame bytes + fault bytes + padding bytes + partial bytes
/// frames = accepted + control + faults of decoding + partial frames
/// ```
///
/// The caller counts `bytes`. One read of 4 KiB gives at most 2,048 readings, and a decoder holds at most
/// [`HELD_READINGS_MAX`](super::outbox::HELD_READINGS_MAX): the outbox has room for so many.
pub(crate) trait Protocol: Debug + Send {
    /// Takes bytes that arrived at `at_ms` since boot.
    fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox);

    /// The line was interrupted: what stands half read will never be completed. No byte is half read then.
    fn interrupted(&mut self, out: &mut Outbox);

    /// What stands half read.
    fn partial(&self) -> Partial;

    /// The bytes of a frame or line still incomplete, unless they are too many to become one.
    fn half_read(&self) -> &[u8];

    /// What it has learned and needs to understand what comes next, without what stands half read.
    /// Nothing where every frame stands for itself.
    fn knowledge(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over what another one knew. The tail keeps it, so it may come from an earlier version or, after
    /// a change of the configuration, from another protocol: what is not its own it leaves alone.
    fn learn(&mut self, _knowledge: &[u8]) {}

    /// What a sensor is sent when its port was opened, so that it introduces itself.
    fn greeting(&self) -> Option<u8> {
        None
    }
}
