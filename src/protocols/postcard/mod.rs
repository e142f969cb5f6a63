//! `framing = "postcard"`: frames of `outstation-wire`, whose sensors describe themselves.

mod decoder;
mod sensor_clock;

use self::decoder::PostcardDecoder;
use super::interface::Protocol;
use super::kind::{AnyProtocolSettings, ProtocolKind, ProtocolSettings};
use crate::config::reader::print::Printer;

pub(super) const KIND: ProtocolKind =
    ProtocolKind { name: "postcard", keys: &[], read: |_| Some(AnyProtocolSettings::of(Postcard)) };

/// Its settings: there are none.
#[derive(Debug, PartialEq)]
struct Postcard;

impl ProtocolSettings for Postcard {
    fn print(&self, _: &mut Printer) {}

    fn decoder(&self, port: &str) -> Box<dyn Protocol> {
        Box::new(PostcardDecoder::new(port))
    }
}
