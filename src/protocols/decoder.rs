//! The decoder of one port, whichever protocol it speaks.

use super::interface::Protocol;
use super::kind::Framing;
use super::outbox::Outbox;
use super::partial::Partial;

/// The decoder of one port.
#[derive(Debug)]
pub struct Decoder(Box<dyn Protocol>);

impl Decoder {
    pub fn new(port: &str, framing: &Framing) -> Self {
        Self(framing.settings.decoder(port))
    }

    /// Takes bytes that arrived at `at_ms` since boot; whatever they are, only counts can go wrong.
    pub fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox) {
        out.intake.bytes += bytes.len() as u64;
        out.now_ms = at_ms;
        self.0.feed(bytes, at_ms, out);
    }

    /// The line was interrupted: what stands half read will never be completed.
    pub fn interrupted(&mut self, out: &mut Outbox) {
        self.0.interrupted(out);
    }

    /// What stands half read.
    pub fn partial(&self) -> Partial {
        self.0.partial()
    }

    /// The bytes of a frame or line still incomplete, unless they are too many to become one.
    pub(crate) fn half_read(&self) -> &[u8] {
        self.0.half_read()
    }

    /// What it has learned and needs to understand what comes next, without what stands half read.
    pub(crate) fn knowledge(&self) -> Vec<u8> {
        self.0.knowledge()
    }

    /// Takes over what another one knew.
    pub(crate) fn learn(&mut self, knowledge: &[u8]) {
        self.0.learn(knowledge);
    }

    /// What a sensor is sent when its port was opened, so that it introduces itself.
    pub(crate) fn greeting(&self) -> Option<u8> {
        self.0.greeting()
    }
}
