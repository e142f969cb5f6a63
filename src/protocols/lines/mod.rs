//! The protocol `framing = "lines"`: lines of JSON, key-value or CSV.

mod config;
mod decoder;
mod formats;

use self::config::Lines;
use self::decoder::LinesDecoder;
use super::interface::Protocol;
use super::kind::{AnyProtocolSettings, ProtocolKind, ProtocolSettings};
use crate::config::reader::print::Printer;
use crate::config::reader::table::{self, AnyTable};

pub(super) const KIND: ProtocolKind = ProtocolKind {
    name: "lines",
    table: AnyTable::of::<Lines>(),
    examples: &[
        &[
            ("name", "\"weather\""),
            ("path", "\"/dev/ttyUSB1\""),
            ("framing", "\"lines\""),
            ("baud", "9600"),
        ],
        &[
            ("name", "\"meter\""),
            ("path", "\"/dev/ttyS2\""),
            ("framing", "\"lines\""),
            ("format", "\"csv\""),
            ("time_key", "\"ts\""),
        ],
    ],
    read: |from| AnyProtocolSettings::of(Lines::read(from)),
};

impl ProtocolSettings for Lines {
    fn print(&self, to: &mut Printer) {
        table::print(self, to);
    }

    fn decoder(&self, port: &str) -> Box<dyn Protocol> {
        Box::new(LinesDecoder::new(port, self))
    }
}
