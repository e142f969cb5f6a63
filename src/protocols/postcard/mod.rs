//! The protocol `framing = "postcard"`: frames of `outstation-wire`, whose sensors describe themselves.

mod decoder;
mod sensor_clock;

use self::decoder::PostcardDecoder;
use super::interface::Protocol;
use super::kind::{AnyProtocolSettings, Framing, ProtocolKind, ProtocolSettings};
use crate::config::reader::print::Printer;
use crate::config::reader::table::{AnyTable, settings};

const NAME: &str = "postcard";

pub(super) const KIND: ProtocolKind = ProtocolKind {
    name: NAME,
    table: AnyTable::of::<Postcard>(),
    examples: &[&[("framing", "\"postcard\"")]],
    read: |_| AnyProtocolSettings::of(Postcard {}),
};

pub(super) fn framing() -> Framing {
    Framing { name: NAME, settings: AnyProtocolSettings::of(Postcard {}) }
}

settings! {
    /// A microcontroller that sends frames of `outstation-wire` and so describes its sensors itself.
    struct Postcard {}
}

impl ProtocolSettings for Postcard {
    fn print(&self, _: &mut Printer) {}

    fn decoder(&self, port: &str) -> Box<dyn Protocol> {
        Box::new(PostcardDecoder::new(port))
    }
}
