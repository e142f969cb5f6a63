//! The interface between a protocol and the rest of the program: how it is configured, and its decoder.

use std::fmt;
use std::sync::Arc;

use super::interface::Protocol;
use crate::config::reader::keys::Example;
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::config::reader::settings::{Comparable, Settings};
use crate::config::reader::table::AnyTable;

/// A protocol, before a port is configured for it.
#[derive(Debug)]
pub(crate) struct ProtocolKind {
    /// The name of the protocol in the key `framing`.
    pub(crate) name: &'static str,
    /// The keys of this protocol. Other protocols reject them unless they have the same keys.
    pub(crate) table: AnyTable,
    /// The sections that the shipped configuration shows.
    pub(crate) examples: &'static [Example],
    /// Reads the keys of this protocol and reports mistakes to the section.
    pub(crate) read: fn(&Section<'_>) -> AnyProtocolSettings,
}

/// The settings of a configured protocol, implemented by each protocol.
pub(crate) trait ProtocolSettings: Comparable + fmt::Debug + Send + Sync {
    /// Writes the keys so that they can be read again.
    fn print(&self, to: &mut Printer);

    /// Creates the decoder for the port `port`.
    fn decoder(&self, port: &str) -> Box<dyn Protocol>;
}

pub(crate) type AnyProtocolSettings = Settings<dyn ProtocolSettings>;

/// The protocol of one port, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Framing {
    /// The name of the protocol.
    pub(crate) name: &'static str,
    pub(crate) settings: AnyProtocolSettings,
}

impl AnyProtocolSettings {
    pub(super) fn of(settings: impl ProtocolSettings + 'static) -> Self {
        Self::new(Arc::new(settings))
    }
}
