//! Everything the daemon says in its log, one struct each, with a constant message and a stable
//! message id by which journald's catalog and alerting rules know it.
//!
//! Field names are what journald shows in capitals: PORT, SINK, REASON, COUNT, FIRST_SEQ.

use std::path::Path;
use std::time::Duration;

use tracing::{error, info, warn};

pub use super::operation::{
    ActorCrashed, ActorStuck, ConfigDoubtful, LocalPortAbsent, LocalPortOpened, LocalPortRefuses,
    StageLate, Started, Stopped,
};
pub use super::storage::{
    LogBegan, LogHealed, LogOpened, LogSalvaged, LogTrouble, LogUnreadable, LogVanished,
    ReadingsEvicted, ReadingsGivenUp, SegmentDamaged,
};
pub use super::tail::{
    TailDamaged, TailGivenUp, TailOutdated, TailRecordsAgain, TailRecovered, TailUnwritten,
};
use crate::domain::breaker::State;
use crate::domain::ledger::FaultCounts;

/// A thing worth saying.
pub trait Report {
    fn report(&self);
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

/// What helps if the sink only knows readings.
const EVENTS_OFF: &str = " (should it know readings only, set `events = false`)";

#[derive(Debug)]
pub struct BatchRejected<'a> {
    pub sink: &'a str,
    /// First and last sequence number.
    pub readings: Option<(u64, u64)>,
    /// The position of the last event.
    pub last_event: Option<u64>,
    pub detail: &'a str,
}

impl Report for BatchRejected<'_> {
    fn report(&self) {
        let (what, remedy) = match (self.readings, self.last_event) {
            (_, None) => ("readings", ""),
            (Some(_), _) => ("readings and events", EVENTS_OFF),
            (None, _) => ("events", EVENTS_OFF),
        };
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1032",
            sink = self.sink,
            first_seq = self.readings.map(|(first, _)| first),
            last_seq = self.readings.map(|(_, last)| last),
            last_event = self.last_event,
            reason = "rejected",
            "sink rejects these {what}, they are kept and offered again{remedy}: {}",
            self.detail
        );
    }
}

/// The ports' tails have them, as far as they could be kept.
#[derive(Debug)]
pub struct ReadingsUnsaved {
    pub count: u64,
}

impl Report for ReadingsUnsaved {
    fn report(&self) {
        error!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1014",
            count = self.count,
            "readings not stored: the log ended and could not be written; the next start takes them up \
             from the crash tail, unless the device reboots before"
        );
    }
}
