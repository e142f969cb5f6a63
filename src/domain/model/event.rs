//! Events: the operational facts of the log, in streams with versions.
//!
//! An aggregate (registry, boots, delivery, ledger, generation) is the result of replaying its stream. An
//! event is stored as postcard; the order of the variants is part of the format, so new ones go at the end.
//!
//! Events that an operator far away should know of are *published*: they are a [`PublishedEvent`] and are
//! delivered to the sinks like the readings. The others are the log's own bookkeeping.

use outstation_codec::PublishedEvent;
use serde::{Deserialize, Serialize};

use super::ledger::Intake;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::budget::Spent;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An event that is delivered to the sinks.
    Published(PublishedEvent),
    /// `ledger`: counts of what a port took in since its last such event.
    TookIn { port: String, intake: Intake },
    /// `delivery/<sink>`: every reading from this number on is pending for the sink.
    SinkAdded { from: u64 },
    /// `delivery/<sink>`: the sink has these readings, or has refused them. `quarantine/<sink>`: the sink
    /// has now accepted these readings, which it had refused before.
    Acknowledged { first: u64, last: u64 },
    /// `delivery/<sink>`: the sink has all published events up to this position.
    EventsAcknowledged { through: u64 },
    /// `quarantine/<sink>`: the sink is best-effort, and these readings left the log before it had them.
    Skipped { first: u64, last: u64 },
    /// `breaker/<sink>`: the state of an endpoint's breaker, from which the next process goes on.
    BreakerSaved { endpoint: String, saved: SavedBreaker },
    /// `budget/<sink>`: the bytes sent on the wire in the current period.
    Spent(Spent),
    /// `quarantine/<sink>` and `ledger`: all readings of this range have left the log, and `count` of them
    /// were refused and not kept. Their single numbers are no longer recorded.
    Forgotten { first: u64, last: u64, count: u64 },
}

impl From<PublishedEvent> for Event {
    fn from(event: PublishedEvent) -> Self {
        Self::Published(event)
    }
}

impl Event {
    /// The name of the kind, as it is stored in the `kind` column; people and queries select by it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Published(event) => event.kind(),
            Self::TookIn { .. } => "took_in",
            Self::SinkAdded { .. } => "sink_added",
            Self::Acknowledged { .. } => "acknowledged",
            // Logs on devices hold this name, so it stays.
            Self::EventsAcknowledged { .. } => "told",
            Self::Skipped { .. } => "skipped",
            Self::BreakerSaved { .. } => "breaker_saved",
            Self::Spent(_) => "spent",
            Self::Forgotten { .. } => "forgotten",
        }
    }

    /// Says whether the event is delivered to the sinks. The log's own bookkeeping, which comes several
    /// times a second, is not.
    pub fn is_published(&self) -> bool {
        matches!(self, Self::Published(_))
    }
}

/// The name of a stream of events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream(String);

impl Stream {
    pub fn named(name: String) -> Self {
        Self(name)
    }

    pub fn registry() -> Self {
        Self("registry".into())
    }

    pub fn clock() -> Self {
        Self("clock".into())
    }

    pub fn ledger() -> Self {
        Self("ledger".into())
    }

    pub fn config() -> Self {
        Self("config".into())
    }

    /// The stream of the log itself.
    pub fn log() -> Self {
        Self("log".into())
    }

    pub fn delivery(sink: &str) -> Self {
        Self(format!("delivery/{sink}"))
    }

    pub fn quarantine(sink: &str) -> Self {
        Self(format!("quarantine/{sink}"))
    }

    pub fn breaker(sink: &str) -> Self {
        Self(format!("breaker/{sink}"))
    }

    pub fn budget(sink: &str) -> Self {
        Self(format!("budget/{sink}"))
    }

    pub fn port(port: &str) -> Self {
        Self(format!("port/{port}"))
    }

    pub fn sink(sink: &str) -> Self {
        Self(format!("sink/{sink}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the sink, if this is a `delivery/<sink>` stream.
    pub fn delivery_sink(&self) -> Option<&str> {
        self.sink_of("delivery")
    }

    /// Returns the sink of a stream `<kind>/<sink>` of this kind, such as `delivery`.
    pub fn sink_of(&self, kind: &str) -> Option<&str> {
        self.of_sink().filter(|(known, _)| *known == kind).map(|(_, sink)| sink)
    }

    /// Splits the name of a stream that holds the state of a sink into kind and sink.
    pub fn of_sink(&self) -> Option<(&str, &str)> {
        let (kind, sink) = self.0.split_once('/')?;
        matches!(kind, "delivery" | "quarantine" | "breaker" | "budget").then_some((kind, sink))
    }

    /// Says whether an aggregate is rebuilt from this stream; then only a snapshot may replace its events.
    /// The other streams are history for people.
    pub fn has_aggregate(&self) -> bool {
        matches!(self.as_str(), "registry" | "clock" | "ledger" | "config")
            || self.of_sink().is_some()
    }
}
