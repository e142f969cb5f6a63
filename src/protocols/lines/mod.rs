//! `framing = "lines"`: lines of JSON, key-value or CSV.

mod config;
mod decoder;
mod formats;

use self::config::{KEYS, Lines};
use self::decoder::LinesDecoder;
use super::interface::Protocol;
use super::kind::{AnyProtocolSettings, ProtocolKind, ProtocolSettings};
use crate::config::reader::print::Printer;

pub(super) const KIND: ProtocolKind = ProtocolKind {
    name: "lines",
    keys: &[KEYS],
    read: |from| Lines::read(from).map(AnyProtocolSettings::of),
};

impl ProtocolSettings for Lines {
    fn print(&self, to: &mut Printer) {
        Self::print(self, to);
    }

    fn decoder(&self, port: &str) -> Box<dyn Protocol> {
        Box::new(LinesDecoder::new(port, self))
    }
}
