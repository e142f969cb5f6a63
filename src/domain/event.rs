//! Events: the operational facts of the log, in streams with versions.
//!
//! Aggregates (registry, boots, delivery, ledger) are what replaying their stream gives. An event
//! is stored as postcard; the order of the variants is part of the format, so append only.

use serde::{Deserialize, Serialize};

use super::boots::Anchor;
use super::ledger::{Intake, Loss};
use super::reading::Sensor;

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
    /// `delivery/<sink>`: the sink has these readings.
    Acknowledged { first: u64, last: u64 },
    /// `port/<name>`: the port delivers bytes.
    PortOpened,
    /// `port/<name>`: the port is gone or cannot be opened.
    PortLost { reason: String },
    /// `sink/<name>`: the breaker moved.
    BreakerMoved { to: String, cause: String },
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
        }
    }

    /// Whether an aggregate is rebuilt from it, so that only a snapshot may replace it.
    pub fn is_aggregated(&self) -> bool {
        !matches!(self, Self::PortOpened | Self::PortLost { .. } | Self::BreakerMoved { .. })
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

    pub fn delivery(sink: &str) -> Self {
        Self(format!("delivery/{sink}"))
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
}
