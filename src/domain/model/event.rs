//! Events: the operational facts of the log, in streams with versions.
//!
//! Aggregates (registry, boots, delivery, ledger, generation) are what replaying their stream gives.
//! An event is stored as postcard; the order of the variants is part of the format, so append only.
//!
//! What an operator far away should know of is *published*: a [`PublishedEvent`], delivered to the
//! sinks like the readings. The rest is the log's own bookkeeping.

use outstation_codec::PublishedEvent;
use serde::{Deserialize, Serialize};

use super::ledger::Intake;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::budget::Spent;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It is delivered to the sinks.
    Published(PublishedEvent),
    /// `ledger`: what a port took in since the last such event.
    TookIn { port: String, intake: Intake },
    /// `delivery/<sink>`: everything from here on is pending for the sink.
    SinkAdded { from: u64 },
    /// `delivery/<sink>`: the sink has these readings, or has refused them. `quarantine/<sink>`: it has
    /// taken after all what it had refused.
    Acknowledged { first: u64, last: u64 },
    /// `delivery/<sink>`: the sink has all published events up to this position.
    EventsAcknowledged { through: u64 },
    /// `quarantine/<sink>`: the sink is best-effort, and they left the log before it had them.
    Skipped { first: u64, last: u64 },
    /// `breaker/<sink>`: where the breaker of an endpoint stands, for the next process.
    BreakerSaved { endpoint: String, saved: SavedBreaker },
    /// `budget/<sink>`: bytes on the wire in this period so far.
    Spent(Spent),
    /// `quarantine/<sink>`, `ledger`: of these readings, gone for good, `count` were refused and not
    /// kept; which ones is not remembered any more.
    Forgotten { first: u64, last: u64, count: u64 },
}

impl From<PublishedEvent> for Event {
    fn from(event: PublishedEvent) -> Self {
        Self::Published(event)
    }
}

impl Event {
    /// The kind column: what a person or a query selects by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Published(event) => event.kind(),
            Self::TookIn { .. } => "took_in",
            Self::SinkAdded { .. } => "sink_added",
            Self::Acknowledged { .. } => "acknowledged",
            // The name is stored.
            Self::EventsAcknowledged { .. } => "told",
            Self::Skipped { .. } => "skipped",
            Self::BreakerSaved { .. } => "breaker_saved",
            Self::Spent(_) => "spent",
            Self::Forgotten { .. } => "forgotten",
        }
    }

    /// Whether it is delivered to the sinks. The log's own bookkeeping, several times a second, is
    /// not news.
    pub fn is_published(&self) -> bool {
        matches!(self, Self::Published(_))
    }
}

/// The name of a stream.
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

    /// Of the log itself.
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

    /// The sink whose delivery state this is.
    pub fn delivery_sink(&self) -> Option<&str> {
        self.sink_of("delivery")
    }

    /// The sink of a stream such as `delivery/<sink>`.
    pub fn sink_of(&self, kind: &str) -> Option<&str> {
        self.of_sink().filter(|(known, _)| *known == kind).map(|(_, sink)| sink)
    }

    /// Kind and sink of a stream that holds what is known of a sink.
    pub fn of_sink(&self) -> Option<(&str, &str)> {
        let (kind, sink) = self.0.split_once('/')?;
        matches!(kind, "delivery" | "quarantine" | "breaker" | "budget").then_some((kind, sink))
    }

    /// Whether an aggregate is rebuilt from it, so that only a snapshot may replace its events. The
    /// others are history for people.
    pub fn has_aggregate(&self) -> bool {
        matches!(self.as_str(), "registry" | "clock" | "ledger" | "config")
            || self.of_sink().is_some()
    }
}
