//! The page of metrics: where the value of each comes from. Their names are in
//! `telemetry/metric_names.rs`, since events count some of them.
//!
//! ```text
//!  statuses ──snapshot──▶ refresh ──┐
//!                                   ├──▶ a recorder for each page ──▶ page
//!  events ──metrics::counter!──▶ Counts
//! ```
//!
//! What a status already counts is read from it when a page is asked for, so the data path pays
//! nothing for metrics. Only what nobody keeps count of is counted where it happens, by the events. A
//! page begins from nothing, so it shows neither ports and sinks that a reload removed nor their ages.

use std::fmt::Write as _;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use outstation_codec::{Fault, Loss};

use super::board::Snapshot;
use super::file_system::FileSystem;
use super::process::Process;
use crate::domain::policy::breaker::{Cause, State};
use crate::domain::policy::budget::Held;
use crate::event_log::LogStatus;
use crate::ingest::{PortState, PortStatus};
use crate::telemetry::counts::Counts;
use crate::telemetry::events::Refused;
use crate::telemetry::metric_names::{self as metric, Kind, Metric, transition};
use crate::upload::{EndpointStatus, SinkStatus};

/// One daemon's metrics. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counts: Counts,
}

impl Metrics {
    /// What events count from now on is this daemon's. Of several in one process (tests, a demo) that is
    /// the first.
    pub fn install() -> Self {
        let metrics = Self::default();
        drop(metrics::set_global_recorder(metrics.counts.clone()));
        metrics
    }

    /// The page, in Prometheus's text format.
    pub fn render(&self, now: &Snapshot) -> String {
        let process = Process::read();
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            metric::ALL.iter().for_each(describe);
            refresh(now, &process);
        });
        let has = |sink: &str| now.sinks.iter().any(|status| status.name == sink);
        self.counts.tell(&recorder, has);
        let mut page = sorted(&recorder.handle().render());
        page.push_str(&cpu_block(&process));
        page
    }
}

fn describe(metric: &Metric) {
    match metric.kind {
        Kind::Counter => describe_counter!(metric.name, metric.help),
        Kind::Gauge => describe_gauge!(metric.name, metric.help),
    }
}

/// The exporter renders in the order of a hash map; a person who reads two pages wants one order.
/// Within a block `#` sorts before every name, and HELP before TYPE.
fn sorted(page: &str) -> String {
    let in_order = |block: &str| {
        let mut lines: Vec<&str> = block.lines().collect();
        lines.sort_unstable();
        lines.join("\n") + "\n\n"
    };
    let mut blocks: Vec<String> = page.split_terminator("\n\n").map(in_order).collect();
    blocks.sort_unstable();
    blocks.concat()
}

/// Written by hand, because the facade's counters are whole numbers.
fn cpu_block(process: &Process) -> String {
    let mut block = String::new();
    if let (Some(seconds), Some(Metric { name, help, .. })) =
        (process.cpu_seconds, named(metric::CPU))
    {
        let _ = writeln!(block, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {seconds}");
    }
    block
}

fn named(name: &str) -> Option<&'static Metric> {
    metric::ALL.iter().find(|metric| metric.name == name)
}

fn refresh(now: &Snapshot, process: &Process) {
    gauge!(metric::BUILD_INFO, "version" => now.version).set(1);
    gauge!(metric::UPTIME).set(now.uptime.as_secs_f64());
    // Zero adds nothing, but shows the series before the first.
    counter!(metric::RECORDS_UNSAID).increment(0);
    gauge!(metric::DEVICE_UPTIME).set(seconds(now.since_boot_ms));
    gauge!(metric::CLOCK).set(seconds(now.wall_ms));
    gauge!(metric::CONFIG_REFUSED).set(flag(now.reload_refused.is_some()));
    for actor in &now.actors {
        // Zero adds nothing, but a series that starts at 1 hides the first restart from `increase`.
        counter!(metric::ACTOR_RESTARTS, "actor" => actor.clone()).increment(0);
        gauge!(metric::ACTOR_STUCK, "actor" => actor.clone()).set(flag(now.stuck.contains(actor)));
    }
    refresh_log(&now.log);
    refresh_ledger(&now.log);
    now.ports.iter().for_each(|port| refresh_port(now, port));
    now.sinks.iter().for_each(|sink| refresh_sink(now, sink));
    // Zero adds nothing: whoever is turned away is counted there.
    Refused::ALL
        .iter()
        .for_each(|why| counter!(metric::HTTP_REFUSED, "reason" => why.reason()).increment(0));
    refresh_process(now, process);
}

fn refresh_log(log: &LogStatus) {
    gauge!(metric::CLOCK_SET).set(flag(log.clock_set));
    gauge!(metric::LOG_ACCEPTING).set(flag(log.accepting));
    gauge!(metric::LOG_BYTES).set(log.disk.file_bytes as f64);
    gauge!(metric::LOG_USED).set(log.disk.used_bytes as f64);
    gauge!(metric::LOG_ROOM).set(log.disk.room_bytes as f64);
    gauge!(metric::LOG_ASIDE).set(log.disk.aside_bytes as f64);
    if let Some(file_system) = FileSystem::of(&log.path) {
        gauge!(metric::FILE_SYSTEM_FREE).set(file_system.free_bytes as f64);
        gauge!(metric::FILE_SYSTEM_SIZE).set(file_system.size_bytes as f64);
    }
    counter!(metric::LOG_COMMITS).absolute(log.wear.commits);
    counter!(metric::LOG_SYNCS).absolute(log.wear.syncs);
    counter!(metric::LOG_WRITTEN).absolute(log.wear.written_bytes);
    counter!(metric::LOG_BODIES).absolute(log.wear.body_bytes);
    gauge!(metric::LOG_HEAD).set(log.head as f64);
    gauge!(metric::LOG_SENSORS).set(log.sensors as f64);
}

fn refresh_ledger(log: &LogStatus) {
    let ledger = &log.ledger;
    gauge!(metric::UNCOMMITTED).set(ledger.uncommitted as f64);
    gauge!(metric::PENDING).set(ledger.pending as f64);
    gauge!(metric::QUARANTINED).set(ledger.quarantined as f64);
    gauge!(metric::BALANCED).set(flag(ledger.imbalances().is_empty()));
    // Before the log could be read these would be 0, and the jump to what it holds look like news.
    if !log.is_opened() {
        return;
    }
    counter!(metric::ACCEPTED).absolute(ledger.intake.accepted);
    counter!(metric::STORED).absolute(ledger.stored);
    counter!(metric::DELIVERED).absolute(ledger.delivered);
    for loss in Loss::ALL {
        counter!(metric::LOST, "reason" => loss.reason()).absolute(ledger.lost(loss));
    }
}

fn refresh_port(now: &Snapshot, port: &PortStatus) {
    let labels = [("port", port.name.clone())];
    gauge!(metric::PORT_OPEN, &labels).set(flag(port.state == PortState::Open));
    counter!(metric::PORT_BYTES, &labels).absolute(port.received_bytes());
    counter!(metric::PORT_FRAMES, &labels).absolute(port.intake.frames);
    counter!(metric::PORT_READINGS, &labels).absolute(port.intake.accepted);
    counter!(metric::PORT_RECOVERED, &labels).absolute(port.recovered);
    counter!(metric::PORT_UNRECORDED, &labels).absolute(port.unrecorded_bytes);
    for fault in Fault::ALL {
        let labels = [("port", port.name.clone()), ("reason", fault.reason().to_owned())];
        counter!(metric::PORT_FAULTS, &labels).absolute(port.intake.faults.get(*fault));
    }
    if let Some(at) = port.last_reading_ms {
        gauge!(metric::PORT_AGE, &labels).set(now.age_s(at));
    }
}

fn refresh_sink(now: &Snapshot, sink: &SinkStatus) {
    let labels = [("sink", sink.name.clone())];
    counter!(metric::SINK_REQUESTS, &labels).absolute(sink.requests);
    counter!(metric::SINK_FAILURES, &labels).absolute(sink.failures);
    counter!(metric::SINK_BATCHES, &labels).absolute(sink.batches);
    counter!(metric::SINK_READINGS, &labels).absolute(sink.readings);
    counter!(metric::SINK_BYTES, &labels).absolute(sink.bytes);
    // Zero adds nothing: what the encodings leave out is counted where it happens.
    counter!(metric::SINK_OMITTED_VALUES, &labels).increment(0);
    counter!(metric::SINK_OMITTED_READINGS, &labels).increment(0);
    // Zero adds nothing, but a series has to be there before its first event.
    counter!(metric::SINK_FOUND, &labels).increment(0);
    counter!(metric::SINK_UNHEARD, &labels).increment(0);
    for reason in metric::LEFT_OUT {
        counter!(metric::SINK_LEFT_OUT, "sink" => sink.name.clone(), "reason" => reason)
            .increment(0);
    }
    let progress = now.progress(sink);
    gauge!(metric::SINK_PENDING, &labels).set(progress.pending as f64);
    gauge!(metric::SINK_OLDEST, &labels).set(progress.oldest_ms.map_or(0.0, |at| now.age_s(at)));
    gauge!(metric::SINK_BACKLOG, &labels).set(progress.backlog as f64);
    counter!(metric::SINK_SKIPPED, &labels).absolute(progress.skipped);
    gauge!(metric::SINK_QUARANTINED, &labels).set(progress.quarantined as f64);
    counter!(metric::SINK_REFUSED, &labels).absolute(progress.refused);
    gauge!(metric::SINK_UNTOLD, &labels).set(progress.untold as f64);
    if let Some(at) = sink.last_delivery_ms {
        gauge!(metric::SINK_AGE, &labels).set(now.age_s(at));
    }
    for state in State::NAMES {
        let labels = [("sink", sink.name.clone()), ("state", state.to_owned())];
        gauge!(metric::SINK_BREAKER, &labels).set(flag(sink.breaker.name() == state));
    }
    counter!(metric::SINK_EVENTS_REFUSED, &labels).absolute(sink.events_refused);
    for held in Held::ALL {
        let labels = [("sink", sink.name.clone()), ("reason", held.name().to_owned())];
        gauge!(metric::SINK_HELD, &labels).set(flag(sink.held == Some(held)));
    }
    if let Some(account) = &sink.account {
        gauge!(metric::SINK_BUDGET, &labels).set(account.budget.bytes as f64);
        gauge!(metric::SINK_SPENT, &labels).set(account.spent as f64);
        gauge!(metric::SINK_FORECAST, &labels).set(account.forecast as f64);
    }
    for cause in Cause::ALL {
        let labels = [("sink", sink.name.clone()), ("cause", cause.name().to_owned())];
        gauge!(metric::SINK_CAUSE, &labels).set(flag(sink.breaker.cause() == Some(cause)));
    }
    sink.endpoints.iter().for_each(|endpoint| refresh_endpoint(sink, endpoint));
}

fn refresh_endpoint(sink: &SinkStatus, endpoint: &EndpointStatus) {
    let own = [("sink", sink.name.clone()), ("endpoint", endpoint.label.clone())];
    counter!(metric::ENDPOINT_REQUESTS, &own).absolute(endpoint.requests);
    counter!(metric::ENDPOINT_FAILURES, &own).absolute(endpoint.failures);
    for state in State::NAMES {
        let [sink, endpoint_] = own.clone();
        let labels = [sink, endpoint_, ("state", state.to_owned())];
        gauge!(metric::ENDPOINT_BREAKER, &labels).set(flag(endpoint.breaker.name() == state));
    }
    // Zero adds nothing, but shows the series before its first move.
    let (until, attempt) = (Duration::ZERO, 0);
    let moves = Cause::ALL.into_iter().flat_map(|cause| {
        let half_open = State::HalfOpen { probing: false, attempt, cause };
        [State::Open { until, attempt, cause }, half_open]
    });
    for to in moves.chain([State::Closed { failures: 0 }]) {
        let labels = transition(&sink.name, &endpoint.label, &to);
        counter!(metric::BREAKER_TRANSITIONS, &labels).increment(0);
    }
}

fn refresh_process(now: &Snapshot, process: &Process) {
    if let Some(bytes) = process.resident_bytes {
        gauge!(metric::RESIDENT).set(bytes as f64);
    }
    if let Some(open) = process.open_fds {
        gauge!(metric::OPEN_FDS).set(open as f64);
    }
    if let Some(since_boot) = process.started_seconds {
        // Whole seconds: the two clocks are not read at the same instant.
        let booted = seconds(now.wall_ms - now.since_boot_ms);
        gauge!(metric::START_TIME).set((booted + since_boot).round());
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[cfg(test)]
mod tests;
