//! What the rest of the program knows of a kind of sink: how it is configured, and that it delivers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::part::url::{Addresses, Exposure, Scheme};
use crate::config::reader::keys::Example;
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::config::reader::settings::{Comparable, Settings};
use crate::config::reader::table::AnyTable;
use crate::credentials::SetupError;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::lanes::Order;
use crate::event_log::LogStatus;
use crate::upload::{AnySink, Wire};

/// A kind of sink, before it is configured.
pub(crate) struct SinkKind {
    /// What its addresses look like.
    pub(crate) scheme: Scheme,
    /// How its readings leave unless `order` says otherwise.
    pub(crate) order: Order,
    /// Its keys. They mean nothing to other kinds, unless those have them too.
    pub(crate) table: AnyTable,
    /// What the shipped configuration shows of it.
    pub(crate) examples: &'static [Example],
    /// Reads its keys; mistakes are reported to the section.
    pub(crate) read: fn(&Section<'_>) -> AnySinkSettings,
}

/// A kind of sink as a configuration has set it up.
pub(crate) trait SinkSettings: Comparable + fmt::Debug + Send + Sync {
    /// Writes its keys, so that they can be read again.
    fn print(&self, to: &mut Printer);

    /// Whether it can be told what happens to the device.
    fn takes_events(&self) -> bool {
        true
    }

    /// Reports what of its addresses only the kind can judge.
    fn check_addresses(&self, _: &Addresses, _: &Section<'_>) {}

    /// What it would show to whoever listens on the way to its server.
    fn exposure(&self) -> Exposure;

    /// What is legal but hardly meant, as the end of a sentence that begins with the sink.
    fn doubts(&self, _: &[Uri]) -> Option<String> {
        None
    }

    /// Finds what would keep it from ever sending: files that cannot be used.
    fn check(&self) -> Result<(), SetupError>;

    /// What a reading of one or two channels takes in its encoding, unless it is sent as it is stored.
    fn bytes_per_reading(&self) -> Option<u64>;

    /// Makes what delivers to the endpoints of one sink. Never fails: what is wrong with the settings
    /// keeps no reading from being recorded, and is said when a batch is first delivered.
    fn connector(&self, context: SinkContext) -> Connector;
}

/// Delivers to an endpoint, as often as it is asked for one.
pub type Connector = Box<dyn Fn(&Endpoint) -> AnySink + Send + Sync>;

/// What the endpoints of one sink have in common besides the settings of its kind.
#[allow(dead_code, reason = "each kind reads what it needs, and a build may lack the kind")]
#[derive(Clone, Debug)]
pub(crate) struct SinkContext {
    /// The name of the sink.
    pub(crate) sink: String,
    /// An attempt ends after it.
    pub(crate) timeout: Duration,
    pub(crate) order: Order,
    pub(crate) wire: Wire,
    pub(crate) clock: Clock,
    pub(crate) log: watch::Receiver<LogStatus>,
}

#[cfg(test)]
impl SinkContext {
    /// Of a sink `s` with an empty log.
    pub(crate) fn for_tests() -> Self {
        Self {
            sink: "s".to_owned(),
            timeout: Duration::from_secs(30),
            order: Order::LiveFirst,
            wire: Wire::default(),
            clock: Clock::system(),
            log: watch::channel(LogStatus::default()).1,
        }
    }
}

pub(crate) type AnySinkSettings = Settings<dyn SinkSettings>;

/// The kind of one sink, as its section chooses it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkChoice {
    /// The name of the kind.
    pub name: &'static str,
    pub(crate) settings: AnySinkSettings,
}

impl AnySinkSettings {
    pub(super) fn of(settings: impl SinkSettings + 'static) -> Self {
        Self::new(Arc::new(settings))
    }
}
