//! The decoder of one port, for any protocol. It forwards to the protocol and counts the bytes.

use super::interface::Protocol;
use super::kind::Framing;
use super::outbox::Outbox;
use super::partial::Partial;

/// Decodes the bytes of one port to readings. The protocols are in the folders beside this file.
#[derive(Debug)]
pub struct Decoder(Box<dyn Protocol>);

impl Decoder {
    pub fn new(port: &str, framing: &Framing) -> Self {
        Self(framing.settings.decoder(port))
    }

    /// Decodes bytes that arrived `at_ms` milliseconds after boot. Any bytes are allowed; invalid ones are
    /// counted as faults in `out`.
    pub fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox) {
        out.intake.bytes += bytes.len() as u64;
        out.now_ms = at_ms;
        self.0.feed(bytes, at_ms, out);
    }

    /// Tells the decoder that the line was interrupted, so a partial frame will never be completed.
    pub fn interrupted(&mut self, out: &mut Outbox) {
        self.0.interrupted(out);
    }

    /// The size of the partial frame, and the number of frames that wait for their sensor's description.
    pub fn partial(&self) -> Partial {
        self.0.partial()
    }

    /// The bytes of the partial frame or line. Empty if they are too many to become one.
    pub(crate) fn half_read(&self) -> &[u8] {
        self.0.half_read()
    }

    /// The decoder's state that is needed for the next frame, such as channel descriptions, without the
    /// partial frame.
    pub(crate) fn knowledge(&self) -> Vec<u8> {
        self.0.knowledge()
    }

    /// Restores a state that `knowledge` has returned.
    pub(crate) fn learn(&mut self, knowledge: &[u8]) {
        self.0.learn(knowledge);
    }

    /// The byte to send after a port was opened, which makes a sensor introduce itself.
    pub(crate) fn greeting(&self) -> Option<u8> {
        self.0.greeting()
    }
}
