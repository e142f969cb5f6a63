//! Fills the page of metrics with values. The names of the metrics are in `telemetry/metric_names.rs`,
//! since events count some of them.
//!
//! ```text
//!  statuses ──snapshot──▶ show ──┐
//!                                ├──▶ Exposition ──▶ page
//!  events ──counter!──▶ Counts ──┘
//! ```
//!
//! A value that a status already counts is read from it when a page is requested, so the data path pays
//! nothing for metrics. Events count only what no status counts. Every page is built from nothing, so it
//! shows neither the ports and sinks that a reload removed nor their ages.

use std::time::Duration;

use outstation_codec::{Fault, Loss};

use super::board::Snapshot;
use super::exposition::Exposition;
use super::file_system::FileSystem;
use super::process::Process;
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::domain::policy::budget::Held;
use crate::event_log::LogStatus;
use crate::ingest::{PortState, PortStatus};
use crate::telemetry::counts::Counts;
use crate::telemetry::events::ClientRefusal;
use crate::telemetry::metric_names::{self as metric, transition};
use crate::upload::{EndpointStatus, SinkStatus};

/// The metrics of one daemon. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counts: Counts,
}

impl Metrics {
    /// Creates the metrics and makes them the recorder of this process, which events count into from now
    /// on. If several daemons run in one process (tests, a demo), only the first one gets the counts.
    pub fn install() -> Self {
        let metrics = Self::default();
        drop(metrics::set_global_recorder(metrics.counts.clone()));
        metrics
    }

    /// Renders the page in Prometheus's text format. Counters of sinks that `now` does not have are left
    /// out.
    pub fn render(&self, now: &Snapshot) -> String {
        let mut page = Exposition::default();
        let has = |sink: &str| now.sinks.iter().any(|status| status.name == sink);
        for (key, count) in self.counts.read() {
            let mut sinks = key.labels().filter(|label| label.key() == "sink");
            if sinks.all(|label| has(label.value())) {
                page.set_counted(key, count);
            }
        }
        show(&mut page, now, &Process::read());
        page.into_text()
    }
}

fn show(page: &mut Exposition, now: &Snapshot, process: &Process) {
    page.set_each(metric::BUILD_INFO, &[("version", now.version)], true);
    page.set(metric::UPTIME, now.uptime.as_secs_f64());
    page.begin(metric::TELEMETRY_DROPPED, Vec::new());
    page.set(metric::DEVICE_UPTIME, seconds(now.since_boot_ms));
    page.set(metric::CLOCK, seconds(now.wall_ms));
    page.set(metric::CONFIG_REFUSED, now.reload_refused.is_some());
    for actor in &now.actors {
        let labels = [("actor", actor.clone())];
        page.begin(metric::ACTOR_RESTARTS, &labels);
        page.set_each(metric::ACTOR_STUCK, &labels, now.stuck.contains(actor));
    }
    show_log(page, &now.log);
    show_ledger(page, &now.log);
    now.ports.iter().for_each(|port| show_port(page, now, port));
    now.sinks.iter().for_each(|sink| show_sink(page, now, sink));
    ClientRefusal::ALL
        .iter()
        .for_each(|why| page.begin(metric::HTTP_REFUSED, &[("reason", why.reason())]));
    show_process(page, now, process);
}

fn show_log(page: &mut Exposition, log: &LogStatus) {
    page.set(metric::CLOCK_SET, log.clock_set);
    page.set(metric::LOG_ACCEPTING, log.accepting);
    page.set(metric::LOG_BYTES, log.disk.file_bytes);
    page.set(metric::LOG_USED, log.disk.used_bytes);
    page.set(metric::LOG_ROOM, log.disk.room_bytes);
    page.set(metric::LOG_ASIDE, log.disk.aside_bytes);
    if let Some(file_system) = FileSystem::of(&log.path) {
        page.set(metric::FILE_SYSTEM_FREE, file_system.free_bytes);
        page.set(metric::FILE_SYSTEM_SIZE, file_system.size_bytes);
    }
    page.set(metric::LOG_COMMITS, log.wear.commits);
    page.set(metric::LOG_SYNCS, log.wear.syncs);
    page.set(metric::LOG_WRITTEN, log.wear.written_bytes);
    page.set(metric::LOG_BODIES, log.wear.body_bytes);
    page.set(metric::LOG_HEAD, log.head);
    page.set(metric::LOG_SENSORS, log.sensors);
}

fn show_ledger(page: &mut Exposition, log: &LogStatus) {
    let ledger = &log.ledger;
    page.set(metric::UNCOMMITTED, ledger.uncommitted);
    page.set(metric::PENDING, ledger.pending);
    page.set(metric::QUARANTINED, ledger.quarantined);
    page.set(metric::BALANCED, ledger.imbalances().is_empty());
    // Before the log could be read these would be 0, and the jump to the real values would look like new
    // readings.
    if !log.is_opened() {
        return;
    }
    page.set(metric::ACCEPTED, ledger.intake.accepted);
    page.set(metric::STORED, ledger.stored);
    page.set(metric::DELIVERED, ledger.delivered);
    for loss in Loss::ALL {
        page.set_each(metric::LOST, &[("reason", loss.reason())], ledger.lost(loss));
    }
}

fn show_port(page: &mut Exposition, now: &Snapshot, port: &PortStatus) {
    let labels = [("port", port.name.clone())];
    page.set_each(metric::PORT_OPEN, &labels, port.state == PortState::Open);
    page.set_each(metric::PORT_BYTES, &labels, port.received_bytes());
    page.set_each(metric::PORT_FRAMES, &labels, port.intake.frames);
    page.set_each(metric::PORT_WAITING, &labels, port.partial.frames);
    page.set_each(metric::PORT_READINGS, &labels, port.intake.accepted);
    page.set_each(metric::PORT_RECOVERED, &labels, port.recovered);
    page.set_each(metric::PORT_UNRECORDED, &labels, port.unrecorded_bytes);
    for fault in Fault::ALL {
        let labels = [("port", port.name.clone()), ("reason", fault.reason().to_owned())];
        page.set_each(metric::PORT_FAULTS, &labels, port.intake.faults.get(*fault));
    }
    if let Some(at) = port.last_reading_ms {
        page.set_each(metric::PORT_AGE, &labels, now.age_s(at));
    }
}

fn show_sink(page: &mut Exposition, now: &Snapshot, sink: &SinkStatus) {
    let labels = [("sink", sink.name.clone())];
    page.set_each(metric::SINK_REQUESTS, &labels, sink.requests);
    page.set_each(metric::SINK_FAILURES, &labels, sink.failures);
    page.set_each(metric::SINK_BATCHES, &labels, sink.batches);
    page.set_each(metric::SINK_READINGS, &labels, sink.readings);
    page.set_each(metric::SINK_BYTES, &labels, sink.bytes);
    page.begin(metric::SINK_OMITTED_VALUES, &labels);
    page.begin(metric::SINK_OMITTED_READINGS, &labels);
    page.begin(metric::SINK_FOUND, &labels);
    page.begin(metric::SINK_UNHEARD, &labels);
    for reason in metric::LEFT_OUT {
        let labels = [("sink", sink.name.clone()), ("reason", reason.to_owned())];
        page.begin(metric::SINK_LEFT_OUT, &labels);
    }
    let progress = now.progress(sink);
    page.set_each(metric::SINK_PENDING, &labels, progress.pending);
    page.set_each(metric::SINK_OLDEST, &labels, progress.oldest_ms.map_or(0.0, |at| now.age_s(at)));
    page.set_each(metric::SINK_BACKLOG, &labels, progress.backlog);
    page.set_each(metric::SINK_SKIPPED, &labels, progress.skipped);
    page.set_each(metric::SINK_QUARANTINED, &labels, progress.quarantined);
    page.set_each(metric::SINK_REFUSED, &labels, progress.refused);
    page.set_each(metric::SINK_PENDING_EVENTS, &labels, progress.pending_events);
    if let Some(at) = sink.last_delivery_ms {
        page.set_each(metric::SINK_AGE, &labels, now.age_s(at));
    }
    for state in BreakerState::NAMES {
        let labels = [("sink", sink.name.clone()), ("state", state.to_owned())];
        page.set_each(metric::SINK_BREAKER, &labels, sink.breaker.name() == state);
    }
    page.set_each(metric::SINK_EVENTS_REFUSED, &labels, sink.events_refused);
    for held in Held::ALL {
        let labels = [("sink", sink.name.clone()), ("reason", held.name().to_owned())];
        page.set_each(metric::SINK_HELD, &labels, sink.held == Some(held));
    }
    if let Some(account) = &sink.account {
        page.set_each(metric::SINK_BUDGET, &labels, account.budget.bytes);
        page.set_each(metric::SINK_SPENT, &labels, account.spent);
        page.set_each(metric::SINK_FORECAST, &labels, account.forecast);
    }
    for cause in Cause::ALL {
        let labels = [("sink", sink.name.clone()), ("cause", cause.name().to_owned())];
        page.set_each(metric::SINK_CAUSE, &labels, sink.breaker.cause() == Some(cause));
    }
    sink.endpoints.iter().for_each(|endpoint| show_endpoint(page, sink, endpoint));
}

fn show_endpoint(page: &mut Exposition, sink: &SinkStatus, endpoint: &EndpointStatus) {
    let own = [("sink", sink.name.clone()), ("endpoint", endpoint.label.clone())];
    page.set_each(metric::ENDPOINT_REQUESTS, &own, endpoint.requests);
    page.set_each(metric::ENDPOINT_FAILURES, &own, endpoint.failures);
    for state in BreakerState::NAMES {
        let [sink, endpoint_] = own.clone();
        let labels = [sink, endpoint_, ("state", state.to_owned())];
        page.set_each(metric::ENDPOINT_BREAKER, &labels, endpoint.breaker.name() == state);
    }
    let (until, attempt) = (Duration::ZERO, 0);
    let moves = Cause::ALL.into_iter().flat_map(|cause| {
        let half_open = BreakerState::HalfOpen { probing: false, attempt, cause };
        [BreakerState::Open { until, attempt, cause }, half_open]
    });
    for to in moves.chain([BreakerState::Closed { failures: 0 }]) {
        let labels = transition(&sink.name, &endpoint.label, &to);
        page.begin(metric::BREAKER_TRANSITIONS, &labels);
    }
}

fn show_process(page: &mut Exposition, now: &Snapshot, process: &Process) {
    if let Some(seconds) = process.cpu_seconds {
        page.set(metric::CPU, seconds);
    }
    if let Some(bytes) = process.resident_bytes {
        page.set(metric::RESIDENT, bytes);
    }
    if let Some(open) = process.open_fds {
        page.set(metric::OPEN_FDS, open);
    }
    if let Some(since_boot) = process.started_seconds {
        // The start time is rounded to seconds, because the two clocks are not read at the same instant.
        let booted = seconds(now.wall_ms - now.since_boot_ms);
        page.set(metric::START_TIME, (booted + since_boot).round());
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests;
