//! The interface between a kind of sink and the rest of the program: how it is configured and how it
//! delivers.

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
    /// The form of its URLs.
    pub(crate) scheme: Scheme,
    /// The order in which readings are sent unless the key `order` sets another.
    pub(crate) order: Order,
    /// The keys of this kind. Other kinds reject them unless they have the same keys.
    pub(crate) table: AnyTable,
    /// The sections that the shipped configuration shows.
    pub(crate) examples: &'static [Example],
    /// Reads the keys of this kind and reports mistakes to the section.
    pub(crate) read: fn(&Section<'_>) -> AnySinkSettings,
}

/// The settings of a configured sink, implemented by each kind.
pub(crate) trait SinkSettings: Comparable + fmt::Debug + Send + Sync {
    /// Writes the keys so that they can be read again.
    fn print(&self, to: &mut Printer);

    /// Whether the sink can express events.
    fn takes_events(&self) -> bool {
        true
    }

    /// Reports mistakes in the URLs that only this kind can find.
    fn check_addresses(&self, _: &Addresses, _: &Section<'_>) {}

    /// What an eavesdropper on the way to the server could learn.
    fn exposure(&self) -> Exposure;

    /// A warning about settings that are legal but probably a mistake, as the end of a sentence that begins
    /// with the sink. `None` if there is nothing to warn of.
    fn doubts(&self, _: &[Uri]) -> Option<String> {
        None
    }

    /// Checks the files that the sink needs. An error means that the sink could never send anything.
    fn check(&self) -> Result<(), SetupError>;

    /// The size in bytes of a reading with one or two channels. `None` if readings are sent in their stored
    /// form.
    fn bytes_per_reading(&self) -> Option<u64>;

    /// Creates the connector of one sink. It never fails: wrong settings must not keep readings from being
    /// recorded, so the first delivery reports them.
    fn connector(&self, context: SinkContext) -> Connector;
}

/// Creates the sink of an endpoint. It may be called several times.
pub type Connector = Box<dyn Fn(&Endpoint) -> AnySink + Send + Sync>;

/// What the endpoints of one sink have in common besides the settings of its kind.
#[allow(dead_code, reason = "each kind reads what it needs, and a build may lack the kind")]
#[derive(Clone, Debug)]
pub(crate) struct SinkContext {
    /// The name of the sink.
    pub(crate) sink: String,
    /// The time limit of one attempt.
    pub(crate) timeout: Duration,
    pub(crate) order: Order,
    pub(crate) wire: Wire,
    pub(crate) clock: Clock,
    pub(crate) log: watch::Receiver<LogStatus>,
}

#[cfg(test)]
impl SinkContext {
    /// The context of a sink `s` with an empty log.
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
