//! Which protocol a port speaks, and its decoder.

use super::outbox::Outbox;
use super::partial::Partial;
use super::protocol::interface::Protocol;
use super::protocol::lines::LinesDecoder;
use super::protocol::postcard::PostcardDecoder;
use crate::config::Framing;

/// The decoder of one port.
#[derive(Debug)]
pub struct Decoder(Box<dyn Protocol>);

impl Decoder {
    /// The table of protocols: the only place that names them all.
    pub fn new(port: &str, framing: &Framing) -> Self {
        match framing {
            Framing::Postcard => Self(Box::new(PostcardDecoder::new(port))),
            Framing::Lines(lines) => Self(Box::new(LinesDecoder::new(port, lines))),
        }
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
    pub(super) fn half_read(&self) -> &[u8] {
        self.0.half_read()
    }

    /// What it has learned and needs to understand what comes next, without what stands half read.
    pub(super) fn knowledge(&self) -> Vec<u8> {
        self.0.knowledge()
    }

    /// Takes over what another one knew.
    pub(super) fn learn(&mut self, knowledge: &[u8]) {
        self.0.learn(knowledge);
    }

    /// What a sensor is sent when its port was opened, so that it introduces itself.
    pub(super) fn greeting(&self) -> Option<u8> {
        self.0.greeting()
    }
}
