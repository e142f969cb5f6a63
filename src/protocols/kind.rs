//! What the rest of the program knows of a protocol: how it is configured, and its decoder.

use std::fmt;
use std::sync::Arc;

use super::interface::Protocol;
use crate::config::reader::keys::Example;
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::config::reader::settings::{Comparable, Settings};
use crate::config::reader::table::AnyTable;

/// A protocol, before a port is set up to speak it.
#[derive(Debug)]
pub(crate) struct ProtocolKind {
    /// As `framing` has it in the configuration.
    pub(crate) name: &'static str,
    /// Its keys. They mean nothing to other protocols, unless those have them too.
    pub(crate) table: AnyTable,
    /// What the shipped configuration shows of it.
    pub(crate) examples: &'static [Example],
    /// Reads its keys; mistakes are reported to the section.
    pub(crate) read: fn(&Section<'_>) -> AnyProtocolSettings,
}

/// A protocol as a configuration has set it up.
pub(crate) trait ProtocolSettings: Comparable + fmt::Debug + Send + Sync {
    /// Writes its keys, so that they can be read again.
    fn print(&self, to: &mut Printer);

    /// Makes what decodes the bytes of the port of this name.
    fn decoder(&self, port: &str) -> Box<dyn Protocol>;
}

pub(crate) type AnyProtocolSettings = Settings<dyn ProtocolSettings>;

/// The protocol of one port.
#[derive(Clone, Debug, PartialEq)]
pub struct Framing {
    /// The name of its kind.
    pub(crate) name: &'static str,
    pub(crate) settings: AnyProtocolSettings,
}

impl AnyProtocolSettings {
    pub(super) fn of(settings: impl ProtocolSettings + 'static) -> Self {
        Self::new(Arc::new(settings))
    }
}
