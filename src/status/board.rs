//! The board: the statuses that all actors publish, gathered at one moment.
//!
//! `/health`, `/ready`, `/status`, `/metrics` and systemd's status line are functions of a [`Snapshot`].
//! Taking one copies the statuses and asks no actor, so no reader can hold up an actor, and a stuck actor
//! cannot hold up a reader.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::event_log::{LogStatus, Progress};
use crate::ingest::PortStatus;
use crate::supervisor::heartbeat::Liveness;
use crate::upload::SinkStatus;

/// The reading ends of all statuses.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    pub device: Arc<str>,
    pub version: &'static str,
    pub clock: Clock,
    pub liveness: Liveness,
    pub log: watch::Receiver<LogStatus>,
    pub configured: watch::Receiver<Configured>,
}

/// The statuses of the ports and sinks that the configuration in effect names.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    pub ports: Vec<watch::Receiver<PortStatus>>,
    pub sinks: Vec<watch::Receiver<SinkStatus>>,
    /// The time at which a newer configuration was refused, on the clock's `now`; `None` if none was.
    pub refused: Option<Duration>,
}

impl StatusBoard {
    /// Copies all statuses as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let Configured { ports, sinks, refused } = self.configured.borrow().clone();
        Snapshot {
            device: Arc::clone(&self.device),
            version: self.version,
            uptime: self.clock.now(),
            since_boot_ms: self.clock.since_boot_ms(),
            wall_ms: self.clock.wall_ms(),
            actors: self.liveness.actors(),
            stuck: self.liveness.stuck(),
            log: self.log.borrow().clone(),
            ports: ports.iter().map(|port| port.borrow().clone()).collect(),
            sinks: sinks.iter().map(|sink| sink.borrow().clone()).collect(),
            reload_refused: refused,
        }
    }
}

/// The statuses at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub device: Arc<str>,
    pub version: &'static str,
    pub uptime: Duration,
    pub since_boot_ms: i64,
    pub wall_ms: i64,
    /// The names of the running actors.
    pub actors: Vec<String>,
    /// The names of the running actors that make no progress.
    pub stuck: Vec<String>,
    pub log: LogStatus,
    pub ports: Vec<PortStatus>,
    pub sinks: Vec<SinkStatus>,
    /// The time at which the newest configuration was refused, on the clock of `uptime`; `None` if it was
    /// not.
    pub reload_refused: Option<Duration>,
}

impl Snapshot {
    /// The progress of a sink; all zero while the log does not know the sink or is not open yet.
    pub fn progress(&self, sink: &SinkStatus) -> Progress {
        self.log.sinks.get(&sink.name).copied().unwrap_or_default()
    }

    /// The age of an event in seconds, given its time in milliseconds since the device booted.
    pub fn age_s(&self, at_ms: i64) -> f64 {
        (self.since_boot_ms - at_ms).max(0) as f64 / 1000.0
    }
}
