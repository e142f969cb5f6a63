//! Everything the daemon says in its log, one struct each, with a constant message and a stable
//! message id by which journald's catalog and alerting rules know it.
//!
//! Field names are what journald shows in capitals: PORT, SINK, REASON, COUNT, FIRST_SEQ.

use std::path::Path;
use std::time::Duration;

use tracing::{error, info, warn};

use super::error_chain;
pub use super::operation::{
    ActorCrashed, ActorStuck, ConfigDoubtful, LocalPortAbsent, LocalPortOpened, LocalPortRefuses,
    StageLate, Started, Stopped,
};
use crate::domain::breaker::State;
use crate::domain::ledger::FaultCounts;

/// A thing worth saying.
pub trait Report {
    fn report(&self);
}

#[derive(Debug)]
pub struct LogOpened<'a> {
    pub path: &'a Path,
    pub epoch: u64,
    pub next_seq: u64,
}

impl Report for LogOpened<'_> {
    fn report(&self) {
        info!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1010",
            path = %self.path.display(),
            epoch = self.epoch,
            next_seq = self.next_seq,
            "log opened"
        );
    }
}

#[derive(Debug)]
pub struct LogTrouble<'a> {
    pub path: &'a Path,
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LogTrouble<'_> {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1011",
            path = %self.path.display(),
            reason = error_chain(self.error),
            "log cannot be written; readings are held in memory until it can"
        );
    }
}

#[derive(Debug)]
pub struct LogHealed<'a> {
    pub path: &'a Path,
}

impl Report for LogHealed<'_> {
    fn report(&self) {
        info!(message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1012", path = %self.path.display(), "log can be written again");
    }
}

#[derive(Debug)]
pub struct SegmentDamaged {
    pub first: u64,
    pub last: u64,
}

impl Report for SegmentDamaged {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1013",
            first_seq = self.first,
            last_seq = self.last,
            count = self.last - self.first + 1,
            "stored readings are damaged and lost"
        );
    }
}

#[derive(Debug)]
pub struct LogUnreadable<'a> {
    pub path: &'a Path,
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LogUnreadable<'_> {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1015",
            path = %self.path.display(),
            reason = error_chain(self.error),
            "log cannot be read; delivery waits, recording goes on"
        );
    }
}

#[derive(Debug)]
pub struct SensorCrowded<'a> {
    pub port: &'a str,
    pub sensor: &'a str,
}

impl Report for SensorCrowded<'_> {
    fn report(&self) {
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1025",
            port = self.port,
            sensor = self.sensor,
            "sensor has shown all the channels it may have; values of further ones are left out"
        );
    }
}

#[derive(Debug)]
pub struct PortOpened<'a> {
    pub port: &'a str,
    pub path: &'a Path,
}

impl Report for PortOpened<'_> {
    fn report(&self) {
        info!(message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1020", port = self.port, path = %self.path.display(), "port opened");
    }
}

#[derive(Debug)]
pub struct PortAbsent<'a> {
    pub port: &'a str,
    pub reason: &'a str,
    pub detail: &'a str,
}

impl Report for PortAbsent<'_> {
    fn report(&self) {
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1021",
            port = self.port,
            reason = self.reason,
            "port not open, retrying: {}",
            self.detail
        );
    }
}

#[derive(Debug)]
pub struct PortFaults<'a> {
    pub port: &'a str,
    pub since_last: &'a FaultCounts,
}

impl Report for PortFaults<'_> {
    fn report(&self) {
        let Some((worst, _)) = self.since_last.seen().max_by_key(|(_, count)| *count) else {
            return;
        };
        let counts: Vec<String> = self
            .since_last
            .seen()
            .map(|(fault, count)| format!("{} {count}", fault.reason()))
            .collect();
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1022",
            port = self.port,
            reason = worst.reason(),
            count = self.since_last.seen().map(|(_, count)| count).sum::<u64>(),
            faults = counts.join(", "),
            "port delivers faults: {}",
            worst.meaning()
        );
    }
}

#[derive(Debug)]
pub struct ReadingsOverflowed<'a> {
    pub port: &'a str,
    pub count: u64,
}

impl Report for ReadingsOverflowed<'_> {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1023",
            port = self.port,
            count = self.count,
            reason = "overflow",
            "readings lost: the log does not keep up"
        );
    }
}

#[derive(Debug)]
pub struct SensorSaid<'a> {
    pub port: &'a str,
    pub level: outstation_wire::Level,
    pub text: &'a str,
}

impl Report for SensorSaid<'_> {
    fn report(&self) {
        // A sensor's error is its own: nothing of ours is lost by it.
        let id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1024";
        let text = self.text.escape_debug();
        match self.level {
            outstation_wire::Level::Error | outstation_wire::Level::Warn => {
                warn!(message_id = id, port = self.port, "sensor says: {text}");
            }
            outstation_wire::Level::Info | outstation_wire::Level::Debug => {
                info!(message_id = id, port = self.port, "sensor says: {text}");
            }
        }
    }
}

#[derive(Debug)]
pub struct BreakerMoved<'a> {
    pub sink: &'a str,
    pub to: &'a State,
    pub retry_in: Option<Duration>,
    pub detail: &'a str,
}

impl Report for BreakerMoved<'_> {
    fn report(&self) {
        let id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1030";
        let (state, cause) = (self.to.name(), self.to.cause().map_or("", |cause| cause.name()));
        let retry_in_s =
            self.retry_in.map_or(0.0, |wait| (wait.as_secs_f64() * 10.0).round() / 10.0);
        match self.to {
            State::Closed { .. } => {
                info!(message_id = id, sink = self.sink, breaker = state, "sink accepts again");
            }
            State::Open { attempt: 0, .. } => warn!(
                message_id = id,
                sink = self.sink,
                breaker = state,
                reason = cause,
                retry_in_s,
                "sink does not accept, readings are kept: {}",
                self.detail
            ),
            // Each further probe is the same news; one line per outage is enough.
            _ => tracing::debug!(
                message_id = id,
                sink = self.sink,
                breaker = state,
                reason = cause,
                retry_in_s,
                "sink still does not accept: {}",
                self.detail
            ),
        }
    }
}

#[derive(Debug)]
pub struct SinkMisconfigured<'a> {
    pub sink: &'a str,
    pub detail: &'a str,
}

impl Report for SinkMisconfigured<'_> {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1031",
            sink = self.sink,
            reason = "misconfigured",
            "sink refuses until a person changes something, readings are kept: {}",
            self.detail
        );
    }
}

#[derive(Debug)]
pub struct BatchRejected<'a> {
    pub sink: &'a str,
    pub first: u64,
    pub last: u64,
    pub detail: &'a str,
}

impl Report for BatchRejected<'_> {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1032",
            sink = self.sink,
            first_seq = self.first,
            last_seq = self.last,
            reason = "rejected",
            "sink rejects these readings, they are kept and offered again: {}",
            self.detail
        );
    }
}

#[derive(Debug)]
pub struct ReadingsUnsaved {
    pub count: u64,
}

impl Report for ReadingsUnsaved {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1014",
            count = self.count,
            "readings lost: the log ended and could not be written"
        );
    }
}
