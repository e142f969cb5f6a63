//! The events about sinks and their endpoints: whether they accept, where they are, and which values could
//! not be sent.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::telemetry::metric_names::{
    BREAKER_TRANSITIONS, SINK_OMITTED_READINGS, SINK_OMITTED_VALUES, transition,
};

#[derive(Debug)]
pub struct BreakerMoved<'a> {
    pub sink: &'a str,
    pub endpoint: &'a str,
    /// The endpoint's name in metrics.
    pub label: &'a str,
    pub from: &'a BreakerState,
    pub to: &'a BreakerState,
    pub retry_in: Option<Duration>,
    /// Whether another endpoint of the sink works.
    pub spared: bool,
    pub detail: &'a str,
}

impl BreakerMoved<'_> {
    /// Counts the change of state. [`report`](Report::report) does not, so that a change that another event
    /// reports can be counted, too.
    pub fn count(&self) {
        let labels = transition(self.sink, self.label, self.to);
        metrics::counter!(BREAKER_TRANSITIONS, &labels).increment(1);
    }
}

impl Report for BreakerMoved<'_> {
    fn report(&self) {
        let Self { sink, endpoint, detail, .. } = *self;
        let (state, cause) = (self.to.name(), self.to.cause().map_or("", Cause::name));
        let retry_in_s = tenths(self.retry_in.unwrap_or_default());
        match (self.to, self.spared) {
            (BreakerState::Closed { .. }, false) => {
                info!(
                    message_id = message_ids::BREAKER_CLOSED,
                    sink,
                    endpoint,
                    breaker = state,
                    "sink accepts again"
                );
            }
            (BreakerState::Closed { .. }, true) => {
                info!(
                    message_id = message_ids::BREAKER_CLOSED,
                    sink,
                    endpoint,
                    breaker = state,
                    "endpoint accepts again"
                );
            }
            (BreakerState::Open { .. }, false) if self.from.is_closed() => warn!(
                message_id = message_ids::BREAKER_OPENED,
                sink,
                endpoint,
                breaker = state,
                reason = cause,
                retry_in_s,
                "sink does not accept, readings are kept: {detail}",
            ),
            (BreakerState::Open { .. }, true) if self.from.is_closed() => warn!(
                message_id = message_ids::BREAKER_OPENED,
                sink,
                endpoint,
                breaker = state,
                reason = cause,
                retry_in_s,
                "endpoint does not accept, another one of the sink is used: {detail}",
            ),
            // A further failed probe brings no news; one line per outage is enough.
            _ => tracing::debug!(
                message_id = message_ids::BREAKER_OPENED,
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

/// The breaker's state from before a restart is in effect again.
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
            message_id = message_ids::BREAKER_RECALLED,
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
            message_id = message_ids::SINK_MISCONFIGURED,
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

/// The lookup of a sink's service found other endpoints than before.
#[derive(Debug)]
pub struct EndpointsFound<'a> {
    pub sink: &'a str,
    pub endpoints: &'a str,
}

impl Report for EndpointsFound<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::ENDPOINTS_FOUND,
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
    /// The number of endpoints that were found before and remain in use.
    pub kept: usize,
    pub detail: &'a str,
}

impl Report for EndpointsUnknown<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::ENDPOINTS_UNKNOWN,
            sink = self.sink,
            service = self.service,
            kept = self.kept,
            "endpoints not found, asking again; those found before are used on: {}",
            self.detail
        );
    }
}

/// Values that the sink's encoding cannot express were left out. Their readings count as delivered all the
/// same.
#[derive(Debug)]
pub struct ValuesOmitted<'a> {
    pub sink: &'a str,
    pub values: u64,
    /// The number of readings that had no other value, so that nothing was sent of them.
    pub readings: u64,
    /// Whether this is the first time since the process started: a sensor that sends NaN once sends it
    /// again.
    pub first: bool,
}

impl Report for ValuesOmitted<'_> {
    fn report(&self) {
        let count = |name, count: u64| {
            metrics::counter!(name, "sink" => self.sink.to_owned()).increment(count);
        };
        count(SINK_OMITTED_VALUES, self.values);
        count(SINK_OMITTED_READINGS, self.readings);
        let (sink, values, readings) = (self.sink, self.values, self.readings);
        let message = "sink was sent readings without values that its encoding cannot say (NaN, \
                       infinity, a date beyond 2262); they are counted as omitted";
        match self.first {
            true => {
                warn!(message_id = message_ids::VALUES_OMITTED, sink, values, readings, "{message}")
            }
            false => tracing::debug!(
                message_id = message_ids::VALUES_OMITTED,
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
            message_id = message_ids::TLS_FILES_UNUSABLE,
            url = self.url,
            "certificates on disk changed and cannot be used, those from before are: {}",
            self.detail
        );
    }
}
