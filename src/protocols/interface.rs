//! The interface of every protocol: bytes in, readings and faults out. Opening ports, recording bytes and
//! logging are left to `ingest/`.

use std::fmt::Debug;

use super::outbox::Outbox;
use super::partial::Partial;

/// Decodes the bytes of one port to readings.
///
/// The result depends only on the bytes and their times of arrival, not on how they are divided into reads:
/// after a kill the same bytes are decoded again from the tail.
///
/// Every byte and frame is counted exactly once. After every call, with the partial frame as `partial`:
///
/// ```text
/// bytes  = frame bytes + fault bytes + padding bytes + partial bytes
/// frames = accepted + control + faults of decoding + partial frames
/// ```
///
/// So each frame gives exactly one reading, or is a *control* frame, or is one fault of decoding
/// ([`FaultStage::Decode`](outstation_codec::FaultStage::Decode)). A control frame gives no reading and is
/// no fault: a sensor describes itself, or reports something in words. *Padding* are bytes between frames
/// that mean nothing: a second delimiter, an empty line. Bytes that are no frame are counted with their
/// fault ([`FaultStage::Framing`](outstation_codec::FaultStage::Framing)).
///
/// A byte 0xff neither ends a frame or line nor is valid content of one. In the tail it stands in place of
/// each byte that was read and is not on record, and what such bytes were part of must be counted as one
/// fault of its true length.
///
/// A protocol only listens, except for its greeting. It has no clock and no timer: it is called when bytes
/// arrive and when the line was interrupted.
///
/// The caller counts `bytes`. A read of 4 KiB gives at most 2,048 readings, and a decoder holds at most
/// [`HELD_READINGS_MAX`](super::outbox::HELD_READINGS_MAX). The outbox has room for as many.
pub(crate) trait Protocol: Debug + Send {
    /// Decodes bytes that arrived `at_ms` milliseconds after boot.
    fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox);

    /// Tells the decoder that the line was interrupted, so a partial frame will never be completed.
    /// Afterwards no byte is partly read.
    fn interrupted(&mut self, out: &mut Outbox);

    /// The size of the partial frame, and the number of frames that wait for their sensor's description.
    fn partial(&self) -> Partial;

    /// The bytes of the partial frame or line. Empty if they are too many to become one.
    fn half_read(&self) -> &[u8];

    /// The state that is needed for the next frame, without the partial frame. Empty if every frame can be
    /// decoded by itself.
    fn knowledge(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Restores a state that `knowledge` has returned. The state comes from the tail, so an earlier version
    /// or, after a change of the configuration, another protocol may have written it. An implementation
    /// must ignore what is not its own.
    fn learn(&mut self, _knowledge: &[u8]) {}

    /// The byte to send after a port was opened, which makes a sensor introduce itself. Nothing else is ever
    /// sent.
    fn greeting(&self) -> Option<u8> {
        None
    }
}
