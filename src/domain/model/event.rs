//! Events: the operational facts of the log, in streams with versions.
//!
//! Aggregates (registry, boots, delivery, ledger, generation) are what replaying their stream gives.
//! An event is stored as postcard; the order of the variants is part of the format, so append only.
//!
//! What an operator far away should know is *told*: delivered to the sinks like the readings.

use serde::{Deserialize, Serialize};

use super::batch::Lane;
use super::boots::{Anchor, Moment};
use super::ledger::{FaultCounts, Intake, Loss};
use super::reading::Sensor;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::budget::Spent;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `registry`: sensor `id` is now described so.
    SensorDescribed { id: u32, sensor: Sensor },
    /// `clock`: the device booted.
    BootStarted { boot: u32, id: String },
    /// `clock`: the wall clock was read, set or stepped.
    ClockAnchored { boot: u32, anchor: Anchor },
    /// `ledger`: what a port took in since the last such event.
    TookIn { port: String, intake: Intake },
    /// `ledger`: stored readings were lost.
    Lost { loss: Loss, first: u64, last: u64 },
    /// `delivery/<sink>`: the sink is owed everything from here on.
    SinkAdded { from: u64 },
    /// `delivery/<sink>`: the sink has these readings, or has refused them. `quarantine/<sink>`: it has
    /// taken after all what it had refused.
    Acknowledged { first: u64, last: u64 },
    /// `port/<name>`: the port delivers bytes.
    PortOpened,
    /// `port/<name>`: the port is gone or cannot be opened.
    PortLost { reason: String },
    /// `sink/<name>`: the breaker moved.
    BreakerMoved { to: String, cause: String },
    /// `ledger`: the log was full; `count` readings of this range that some sink still lacked are gone.
    Evicted { lane: Lane, first: u64, last: u64, count: u64, from: Moment, to: Moment },
    /// `port/<name>`: what could not be framed or decoded since the last such event.
    FramesLost { faults: FaultCounts },
    /// `config`: the daemon started under another configuration or version than before.
    ConfigApplied { generation: u32, digest: u32, version: String },
    /// `log`: from here on, numbers belong to this life of the log; `from` is the first it may offer.
    EpochBegan { epoch: u64, from: u64, reason: EpochReason },
    /// `delivery/<sink>`: the sink has been told all events up to this position.
    Told { through: u64 },
    /// `quarantine/<sink>`: the sink will never take these readings; they are kept aside.
    Refused { first: u64, last: u64, reason: String },
    /// `quarantine/<sink>`: a person wants them offered once more.
    Replayed { first: u64, last: u64 },
    /// `quarantine/<sink>`: they are not kept any more, by a person's wish or for want of room.
    Discarded { first: u64, last: u64 },
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

/// Why a log began a new life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochReason {
    /// There was no log.
    Created,
    /// The file is a copy: the original may have given out the numbers that follow.
    Copied,
    /// The last commit before a power cut is incomplete; what was seen of it may be gone.
    Torn,
    /// What could be read of a damaged log was moved into a new one.
    Salvaged,
}

impl EpochReason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Copied => "copied",
            Self::Torn => "torn",
            Self::Salvaged => "salvaged",
        }
    }
}

impl Event {
    /// The kind column: what a person or a query selects by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SensorDescribed { .. } => "sensor_described",
            Self::BootStarted { .. } => "boot_started",
            Self::ClockAnchored { .. } => "clock_anchored",
            Self::TookIn { .. } => "took_in",
            Self::Lost { .. } => "lost",
            Self::SinkAdded { .. } => "sink_added",
            Self::Acknowledged { .. } => "acknowledged",
            Self::PortOpened => "port_opened",
            Self::PortLost { .. } => "port_lost",
            Self::BreakerMoved { .. } => "breaker_moved",
            Self::Evicted { .. } => "evicted",
            Self::FramesLost { .. } => "frames_lost",
            Self::ConfigApplied { .. } => "config_applied",
            Self::EpochBegan { .. } => "epoch_began",
            Self::Told { .. } => "told",
            Self::Refused { .. } => "refused",
            Self::Replayed { .. } => "replayed",
            Self::Discarded { .. } => "discarded",
            Self::Skipped { .. } => "skipped",
            Self::BreakerSaved { .. } => "breaker_saved",
            Self::Spent(_) => "spent",
            Self::Forgotten { .. } => "forgotten",
        }
    }

    /// Whether the sinks are told. The log's own bookkeeping, several times a second, is not news.
    pub fn is_told(&self) -> bool {
        !matches!(
            self,
            Self::TookIn { .. }
                | Self::SinkAdded { .. }
                | Self::Acknowledged { .. }
                | Self::Told { .. }
                | Self::Skipped { .. }
                | Self::BreakerSaved { .. }
                | Self::Spent(_)
                | Self::Forgotten { .. }
        )
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
