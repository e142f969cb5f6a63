//! Everything the daemon says in its log, one struct each, with a constant message and a stable
//! message id by which journald's catalog and alerting rules know it.
//!
//! Field names are what journald shows in capitals: PORT, SINK, REASON, COUNT, FIRST_SEQ.

use std::path::Path;
use std::time::Duration;

use outstation_codec::FaultCounts;
use tracing::{error, info, warn};

use crate::domain::policy::breaker::{Cause, State};
pub use budget::{EventRefused, QuietHoursUnknown, SinkGoesOn, SinkHeldBack};
pub use local_port::{
    ClientsRefused, LocalPortAbsent, LocalPortAnnounced, LocalPortFilesUnusable, LocalPortOpened,
    LocalPortRefuses, LocalPortUnannounced, Refused,
};
pub use log::{
    LogBegan, LogHealed, LogOpened, LogSalvaged, LogTrouble, LogUnreadable, LogVanished,
    ReadingsEvicted, ReadingsGivenUp, ReadingsSkipped, SegmentDamaged,
};
#[cfg(feature = "mqtt")]
pub use mqtt::MessagesUnheard;
pub use reload::{ActorDropped, ConfigRefused, ConfigReloaded};
#[cfg(feature = "prometheus")]
pub use remote_write::{ReadingsFound, ValuesLeftOut};
pub use supervisor::{ActorCrashed, ActorStuck, ConfigDoubtful, StageLate, Started, Stopped};
pub use tail::{
    TailDamaged, TailGivenUp, TailOutdated, TailRecordsAgain, TailRecovered, TailUnwritten,
};

mod budget;
pub mod kinds;
mod local_port;
mod log;
#[cfg(feature = "mqtt")]
mod mqtt;
pub mod quarantine;
mod reload;
#[cfg(feature = "prometheus")]
mod remote_write;
mod supervisor;
mod tail;

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
        error!(
            message_id = kinds::SENSOR_CROWDED,
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
        info!(message_id = kinds::PORT_OPENED, port = self.port, path = %self.path.display(), "port opened");
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
            message_id = kinds::PORT_ABSENT,
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
            message_id = kinds::PORT_FAULTS,
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
            message_id = kinds::READINGS_OVERFLOWED,
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
        let text = self.text.escape_debug();
        match self.level {
            outstation_wire::Level::Error | outstation_wire::Level::Warn => {
                warn!(message_id = kinds::SENSOR_SAID, port = self.port, "sensor says: {text}");
            }
            outstation_wire::Level::Info | outstation_wire::Level::Debug => {
                info!(message_id = kinds::SENSOR_SAID, port = self.port, "sensor says: {text}");
            }
        }
    }
}

#[derive(Debug)]
pub struct BreakerMoved<'a> {
    pub sink: &'a str,
    pub endpoint: &'a str,
    /// The endpoint's, in metrics.
    pub label: &'a str,
    pub from: &'a State,
    pub to: &'a State,
    pub retry_in: Option<Duration>,
    /// Whether another endpoint of the sink works.
    pub spared: bool,
    pub detail: &'a str,
}

impl BreakerMoved<'_> {
    /// Counts the move, also where another event tells of it.
    pub fn count(&self) {
        let labels = crate::telemetry::metric_names::transition(self.sink, self.label, self.to);
        metrics::counter!(crate::telemetry::metric_names::BREAKER_TRANSITIONS, &labels)
            .increment(1);
    }
}

impl Report for BreakerMoved<'_> {
    fn report(&self) {
        let Self { sink, endpoint, detail, .. } = *self;
        let (state, cause) = (self.to.name(), self.to.cause().map_or("", Cause::name));
        let retry_in_s = tenths(self.retry_in.unwrap_or_default());
        match (self.to, self.spared) {
            (State::Closed { .. }, false) => {
                info!(
                    message_id = kinds::BREAKER_CLOSED,
                    sink,
                    endpoint,
                    breaker = state,
                    "sink accepts again"
                );
            }
            (State::Closed { .. }, true) => {
                info!(
                    message_id = kinds::BREAKER_CLOSED,
                    sink,
                    endpoint,
                    breaker = state,
                    "endpoint accepts again"
                );
            }
            (State::Open { .. }, false) if self.from.is_closed() => warn!(
                message_id = kinds::BREAKER_OPENED,
                sink,
                endpoint,
                breaker = state,
                reason = cause,
                retry_in_s,
                "sink does not accept, readings are kept: {detail}",
            ),
            (State::Open { .. }, true) if self.from.is_closed() => warn!(
                message_id = kinds::BREAKER_OPENED,
                sink,
                endpoint,
                breaker = state,
                reason = cause,
                retry_in_s,
                "endpoint does not accept, another one of the sink is used: {detail}",
            ),
            // Each further probe is the same news; one line per outage is enough.
            _ => tracing::debug!(
                message_id = kinds::BREAKER_OPENED,
                sink,
                endpoint,
                breaker = state,
                reason = cause,
                retry_in_s,
                "endpoint still does not accept: {detail}",
            ),
        }
    }
}

fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// What an earlier process left.
#[derive(Debug)]
pub struct BreakerRecalled<'a> {
    pub sink: &'a str,
    pub endpoint: &'a str,
    pub cause: Cause,
    pub retry_in: Duration,
}

impl Report for BreakerRecalled<'_> {
    fn report(&self) {
        warn!(
            message_id = kinds::BREAKER_RECALLED,
            sink = self.sink,
            endpoint = self.endpoint,
            reason = self.cause.name(),
            retry_in_s = tenths(self.retry_in),
            "sink did not accept before the restart and is left alone for a while, readings are kept"
        );
    }
}

#[derive(Debug)]
pub struct SinkMisconfigured<'a> {
    pub sink: &'a str,
    pub endpoint: &'a str,
    pub detail: &'a str,
    pub remedy: &'a str,
}

impl Report for SinkMisconfigured<'_> {
    fn report(&self) {
        error!(
            message_id = kinds::SINK_MISCONFIGURED,
            sink = self.sink,
            endpoint = self.endpoint,
            reason = "misconfigured",
            remedy = self.remedy,
            "sink refuses until a person changes something, readings are kept: {}; {}",
            self.detail,
            self.remedy
        );
    }
}

/// What a sink's service was found to have, when it changed.
#[derive(Debug)]
pub struct EndpointsFound<'a> {
    pub sink: &'a str,
    pub endpoints: &'a str,
}

impl Report for EndpointsFound<'_> {
    fn report(&self) {
        info!(
            message_id = kinds::ENDPOINTS_FOUND,
            sink = self.sink,
            endpoints = self.endpoints,
            "endpoints found"
        );
    }
}

#[derive(Debug)]
pub struct EndpointsUnknown<'a> {
    pub sink: &'a str,
    pub service: &'a str,
    /// Those found before are used on.
    pub kept: usize,
    pub detail: &'a str,
}

impl Report for EndpointsUnknown<'_> {
    fn report(&self) {
        warn!(
            message_id = kinds::ENDPOINTS_UNKNOWN,
            sink = self.sink,
            service = self.service,
            kept = self.kept,
            "endpoints not found, asking again; those found before are used on: {}",
            self.detail
        );
    }
}

/// The encoding of the sink cannot say everything; what it left out counts as delivered all the same.
#[derive(Debug)]
pub struct ValuesOmitted<'a> {
    pub sink: &'a str,
    pub values: u64,
    /// Those of which nothing was left.
    pub readings: u64,
    /// Since the process started: a sensor that says NaN says it again.
    pub first: bool,
}

impl Report for ValuesOmitted<'_> {
    fn report(&self) {
        let count = |name, count: u64| {
            metrics::counter!(name, "sink" => self.sink.to_owned()).increment(count);
        };
        count(crate::telemetry::metric_names::SINK_OMITTED_VALUES, self.values);
        count(crate::telemetry::metric_names::SINK_OMITTED_READINGS, self.readings);
        let (sink, values, readings) = (self.sink, self.values, self.readings);
        let message = "sink was sent readings without values that its encoding cannot say (NaN, \
                       infinity, a date beyond 2262); they are counted as omitted";
        match self.first {
            true => warn!(message_id = kinds::VALUES_OMITTED, sink, values, readings, "{message}"),
            false => tracing::debug!(
                message_id = kinds::VALUES_OMITTED,
                sink,
                values,
                readings,
                "{message}"
            ),
        }
    }
}

#[derive(Debug)]
pub struct TlsFilesUnusable<'a> {
    pub url: &'a str,
    pub detail: &'a str,
}

impl Report for TlsFilesUnusable<'_> {
    fn report(&self) {
        warn!(
            message_id = kinds::TLS_FILES_UNUSABLE,
            url = self.url,
            "certificates on disk changed and cannot be used, those from before are: {}",
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
            message_id = kinds::READINGS_UNSAVED,
            count = self.count,
            "readings not stored: the log ended and could not be written; the next start takes them up \
             from the crash tail, unless the device reboots before"
        );
    }
}
