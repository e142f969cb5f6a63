//! What every protocol does: bytes in, readings and faults out.

use std::fmt::Debug;

use super::outbox::Outbox;
use super::partial::Partial;

/// How the bytes of one port become readings. The same bytes with the same times of arrival give the same
/// readings again: after a kill they are decoded anew from the tail.
pub(crate) trait Protocol: Debug + Send {
    /// Takes bytes that arrived at `at_ms` since boot.
    fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox);

    /// The line was interrupted: what stands half read will never be completed.
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

    /// Takes over what another one knew.
    fn learn(&mut self, _knowledge: &[u8]) {}

    /// What a sensor is sent when its port was opened, so that it introduces itself.
    fn greeting(&self) -> Option<u8> {
        None
    }
}
