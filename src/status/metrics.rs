//! Every metric there is: its name, its kind, what it means, and where its value comes from.
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

use super::board::Snapshot;
use super::file_system::FileSystem;
use super::process::Process;
use crate::domain::model::ledger::{Fault, Loss};
use crate::domain::policy::breaker::{Cause, State};
use crate::domain::policy::budget::Held;
use crate::event_log::LogStatus;
use crate::ingest::{PortState, PortStatus};
use crate::telemetry::counts::Counts;
use crate::telemetry::events::Refused;
use crate::upload::{EndpointStatus, SinkStatus};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One line of the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

macro_rules! table {
    ($($id:ident $kind:ident $name:literal $help:literal,)+) => {
        $(#[doc = $help] pub(crate) const $id: &str = $name;)+

        /// All of them, in reading order.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, help: $help }),+];
    };
}

// Ports and sinks count from the start of the process, readings over the whole life of the log.
// Ages and not timestamps: a board's wall clock may be wrong, or set in between.
table! {
    BUILD_INFO Gauge "outstation_build_info" "Always 1; the label says which version runs.",
    UPTIME Gauge "outstation_uptime_seconds" "Time since the daemon started.",
    DEVICE_UPTIME Gauge "outstation_device_uptime_seconds" "Time since the device booted.",
    CLOCK Gauge "outstation_clock_seconds" "What the device's wall clock shows, in seconds since 1970.",
    CLOCK_SET Gauge "outstation_clock_set" "Whether the wall clock was set since the device booted (1) or readings still await their dates (0).",
    CONFIG_REFUSED Gauge "outstation_config_reload_refused" "Whether the newest configuration was refused (1) and the one before goes on.",
    ACTOR_RESTARTS Counter "outstation_actor_restarts_total" "Crashes of an actor, each followed by a restart while the budget lasts.",
    ACTOR_STUCK Gauge "outstation_actor_stuck" "Whether an actor makes no progress (1).",
    RECORDS_UNSAID Counter "outstation_records_unsaid_total" "Records of what happened that were not written, because journald or whoever reads stderr did not read.",

    LOG_ACCEPTING Gauge "outstation_log_accepting" "Whether the log is open and its last commit succeeded (1).",
    LOG_BYTES Gauge "outstation_log_bytes" "Size of the log's database file, without its write-ahead log.",
    LOG_USED Gauge "outstation_log_used_bytes" "What of the log's file holds readings and events; the rest is free for more.",
    LOG_ROOM Gauge "outstation_log_room_bytes" "How far outstation_log_used_bytes may grow before the oldest readings are evicted.",
    LOG_ASIDE Gauge "outstation_log_aside_bytes" "Size of a damaged log that was set aside.",
    FILE_SYSTEM_FREE Gauge "outstation_log_filesystem_free_bytes" "What of the file system of the log is free for the daemon.",
    FILE_SYSTEM_SIZE Gauge "outstation_log_filesystem_size_bytes" "Size of the file system of the log.",
    LOG_COMMITS Counter "outstation_log_commits_total" "Commits since the process started.",
    LOG_SYNCS Counter "outstation_log_syncs_total" "Syncs that the log asked of the storage, for commits and for moving its write-ahead log, since the process started.",
    LOG_WRITTEN Counter "outstation_log_written_bytes_total" "Bytes that commits and moving the write-ahead log wrote since the process started, without what the file system adds.",
    LOG_BODIES Counter "outstation_log_body_bytes_total" "What of outstation_log_written_bytes_total are readings, as they were encoded first.",
    LOG_HEAD Gauge "outstation_log_head" "Last committed sequence number.",
    LOG_SENSORS Gauge "outstation_log_sensors" "Sensors the log knows.",

    PORT_OPEN Gauge "outstation_port_open" "Whether the port is open (1) or absent (0).",
    PORT_BYTES Counter "outstation_port_received_bytes_total" "Bytes received from the port.",
    PORT_FRAMES Counter "outstation_port_frames_total" "Whole frames or lines received from the port.",
    PORT_FAULTS Counter "outstation_port_faults_total" "What was wrong with what the port delivered, by reason.",
    PORT_READINGS Counter "outstation_port_readings_total" "Readings decoded from what the port delivered.",
    PORT_RECOVERED Counter "outstation_port_recovered_readings_total" "Readings taken up from the crash tail of a process that was killed or crashed.",
    PORT_UNRECORDED Counter "outstation_port_unrecorded_bytes_total" "Bytes received that the crash tail could not keep: a kill before they were committed would have lost them.",
    PORT_AGE Gauge "outstation_port_last_reading_age_seconds" "Time since the port's last reading; absent before the first.",

    ACCEPTED Counter "outstation_readings_accepted_total" "Readings accepted over the life of the log.",
    UNCOMMITTED Gauge "outstation_readings_uncommitted" "Readings accepted that the next commit will store.",
    STORED Counter "outstation_readings_stored_total" "Readings stored over the life of the log.",
    DELIVERED Counter "outstation_readings_delivered_total" "Readings delivered to every sink over the life of the log.",
    PENDING Gauge "outstation_readings_pending" "Readings stored that some sink does not have yet.",
    QUARANTINED Gauge "outstation_readings_quarantined" "Readings kept in quarantine because a sink refused them.",
    LOST Counter "outstation_readings_lost_total" "Readings lost over the life of the log, by reason.",
    BALANCED Gauge "outstation_ledger_balanced" "Whether every byte, frame and reading is accounted for (1).",

    SINK_BREAKER Gauge "outstation_sink_breaker_state" "1 for the state the sink's circuit breaker is in, 0 for the others.",
    SINK_CAUSE Gauge "outstation_sink_breaker_cause" "1 for the cause for which the sink's circuit breaker is not closed, 0 for the others.",
    ENDPOINT_BREAKER Gauge "outstation_endpoint_breaker" "1 for the state the circuit breaker of one of the sink's endpoints is in, 0 for the others.",
    ENDPOINT_REQUESTS Counter "outstation_endpoint_requests_total" "Requests made to one of the sink's endpoints.",
    ENDPOINT_FAILURES Counter "outstation_endpoint_failures_total" "Requests to one of the sink's endpoints that did not succeed.",
    BREAKER_TRANSITIONS Counter "outstation_breaker_transitions_total" "Moves of the circuit breaker of one of the sink's endpoints, by the state it moved to and its cause.",
    SINK_REQUESTS Counter "outstation_sink_requests_total" "Requests made to the sink.",
    SINK_FAILURES Counter "outstation_sink_failures_total" "Requests to the sink that did not succeed; nothing is lost by them.",
    SINK_BATCHES Counter "outstation_sink_batches_total" "Batches the sink accepted.",
    SINK_READINGS Counter "outstation_sink_readings_total" "Readings the sink accepted.",
    SINK_BYTES Counter "outstation_sink_sent_bytes_total" "Bytes of accepted request bodies.",
    SINK_OMITTED_VALUES Counter "outstation_sink_omitted_values_total" "Values left out of delivered readings because the sink's encoding cannot say them, such as NaN.",
    SINK_OMITTED_READINGS Counter "outstation_sink_omitted_readings_total" "Readings counted as delivered that were not sent, because the sink's encoding can say nothing of them.",
    SINK_PENDING Gauge "outstation_sink_pending_readings" "Readings the sink does not have yet.",
    SINK_OLDEST Gauge "outstation_sink_oldest_pending_age_seconds" "Time since the oldest reading arrived that the sink does not have yet; 0 when it has all.",
    SINK_BACKLOG Gauge "outstation_sink_backlog_readings" "What of outstation_sink_pending_readings has waited so long that fresh readings go first.",
    SINK_SKIPPED Counter "outstation_sink_skipped_total" "Readings that left the log before this sink had them, because it is best-effort.",
    SINK_QUARANTINED Gauge "outstation_sink_quarantined_readings" "Readings the sink refused that are kept in quarantine.",
    SINK_REFUSED Counter "outstation_sink_refused_readings_total" "Readings the sink refused that are kept no longer, over the life of the log.",
    SINK_UNTOLD Gauge "outstation_sink_untold_events" "Events the sink was not told yet.",
    SINK_EVENTS_REFUSED Counter "outstation_sink_refused_events_total" "Events the sink refused, which are not offered again.",
    SINK_HELD Gauge "outstation_sink_held_back" "1 for the reason why only alarms leave for the sink, 0 for the others.",
    SINK_BUDGET Gauge "outstation_sink_budget_bytes" "Bytes on the wire that the sink may use in each period; absent without a budget.",
    SINK_SPENT Gauge "outstation_sink_budget_spent_bytes" "Bytes on the wire that the sink used in this period; absent without a budget.",
    SINK_FORECAST Gauge "outstation_sink_budget_forecast_bytes" "Bytes that the sink will have used when the period ends, at the rate so far; absent without a budget.",
    SINK_LEFT_OUT Counter "outstation_sink_left_out_values_total" "Values of delivered readings that the sink's protocol has no room for, by reason: text, or replaced by a later value of the same millisecond.",
    SINK_FOUND Counter "outstation_sink_found_readings_total" "Readings that the sink's server was found to have already, sent when nobody answered; they count as delivered.",
    SINK_UNHEARD Counter "outstation_sink_unheard_messages_total" "Messages of readings for which the sink's broker had no subscriber; they count as delivered (MQTT 5 alone says so).",
    SINK_AGE Gauge "outstation_sink_last_delivery_age_seconds" "Time since the sink last accepted a batch; absent before the first.",

    HTTP_REFUSED Counter "outstation_http_refused_total" "Clients of the local port that were turned away or cut off, by reason.",

    RESIDENT Gauge "process_resident_memory_bytes" "Resident memory size in bytes.",
    CPU Counter "process_cpu_seconds_total" "Total user and system CPU time spent in seconds.",
    OPEN_FDS Gauge "process_open_fds" "Number of open file descriptors.",
    START_TIME Gauge "process_start_time_seconds" "Start time of the process since unix epoch in seconds, as the wall clock stands now.",
}

/// Why a value is left out.
pub(crate) const LEFT_OUT: [&str; 2] = ["text", "replaced"];

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
            ALL.iter().for_each(describe);
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
    if let (Some(seconds), Some(cpu)) = (process.cpu_seconds, named(CPU)) {
        let _ = writeln!(block, "# HELP {CPU} {}\n# TYPE {CPU} counter\n{CPU} {seconds}", cpu.help);
    }
    block
}

fn named(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

fn refresh(now: &Snapshot, process: &Process) {
    gauge!(BUILD_INFO, "version" => now.version).set(1);
    gauge!(UPTIME).set(now.uptime.as_secs_f64());
    // Zero adds nothing, but shows the series before the first.
    counter!(RECORDS_UNSAID).increment(0);
    gauge!(DEVICE_UPTIME).set(seconds(now.since_boot_ms));
    gauge!(CLOCK).set(seconds(now.wall_ms));
    gauge!(CONFIG_REFUSED).set(flag(now.reload_refused.is_some()));
    for actor in &now.actors {
        // Zero adds nothing, but a series that starts at 1 hides the first restart from `increase`.
        counter!(ACTOR_RESTARTS, "actor" => actor.clone()).increment(0);
        gauge!(ACTOR_STUCK, "actor" => actor.clone()).set(flag(now.stuck.contains(actor)));
    }
    refresh_log(&now.log);
    refresh_ledger(&now.log);
    now.ports.iter().for_each(|port| refresh_port(now, port));
    now.sinks.iter().for_each(|sink| refresh_sink(now, sink));
    // Zero adds nothing: whoever is turned away is counted there.
    Refused::ALL
        .iter()
        .for_each(|why| counter!(HTTP_REFUSED, "reason" => why.reason()).increment(0));
    refresh_process(now, process);
}

fn refresh_log(log: &LogStatus) {
    gauge!(CLOCK_SET).set(flag(log.clock_set));
    gauge!(LOG_ACCEPTING).set(flag(log.accepting));
    gauge!(LOG_BYTES).set(log.disk.file_bytes as f64);
    gauge!(LOG_USED).set(log.disk.used_bytes as f64);
    gauge!(LOG_ROOM).set(log.disk.room_bytes as f64);
    gauge!(LOG_ASIDE).set(log.disk.aside_bytes as f64);
    if let Some(file_system) = FileSystem::of(&log.path) {
        gauge!(FILE_SYSTEM_FREE).set(file_system.free_bytes as f64);
        gauge!(FILE_SYSTEM_SIZE).set(file_system.size_bytes as f64);
    }
    counter!(LOG_COMMITS).absolute(log.wear.commits);
    counter!(LOG_SYNCS).absolute(log.wear.syncs);
    counter!(LOG_WRITTEN).absolute(log.wear.written_bytes);
    counter!(LOG_BODIES).absolute(log.wear.body_bytes);
    gauge!(LOG_HEAD).set(log.head as f64);
    gauge!(LOG_SENSORS).set(log.sensors as f64);
}

fn refresh_ledger(log: &LogStatus) {
    let ledger = &log.ledger;
    gauge!(UNCOMMITTED).set(ledger.uncommitted as f64);
    gauge!(PENDING).set(ledger.pending as f64);
    gauge!(QUARANTINED).set(ledger.quarantined as f64);
    gauge!(BALANCED).set(flag(ledger.imbalances().is_empty()));
    // Before the log could be read these would be 0, and the jump to what it holds look like news.
    if !log.is_opened() {
        return;
    }
    counter!(ACCEPTED).absolute(ledger.intake.accepted);
    counter!(STORED).absolute(ledger.stored);
    counter!(DELIVERED).absolute(ledger.delivered);
    for loss in Loss::ALL {
        counter!(LOST, "reason" => loss.reason()).absolute(ledger.lost(loss));
    }
}

fn refresh_port(now: &Snapshot, port: &PortStatus) {
    let labels = [("port", port.name.clone())];
    gauge!(PORT_OPEN, &labels).set(flag(port.state == PortState::Open));
    counter!(PORT_BYTES, &labels).absolute(port.received_bytes());
    counter!(PORT_FRAMES, &labels).absolute(port.intake.frames);
    counter!(PORT_READINGS, &labels).absolute(port.intake.accepted);
    counter!(PORT_RECOVERED, &labels).absolute(port.recovered);
    counter!(PORT_UNRECORDED, &labels).absolute(port.unrecorded_bytes);
    for fault in Fault::ALL {
        let labels = [("port", port.name.clone()), ("reason", fault.reason().to_owned())];
        counter!(PORT_FAULTS, &labels).absolute(port.intake.faults.get(*fault));
    }
    if let Some(at) = port.last_reading_ms {
        gauge!(PORT_AGE, &labels).set(now.age_s(at));
    }
}

fn refresh_sink(now: &Snapshot, sink: &SinkStatus) {
    let labels = [("sink", sink.name.clone())];
    counter!(SINK_REQUESTS, &labels).absolute(sink.requests);
    counter!(SINK_FAILURES, &labels).absolute(sink.failures);
    counter!(SINK_BATCHES, &labels).absolute(sink.batches);
    counter!(SINK_READINGS, &labels).absolute(sink.readings);
    counter!(SINK_BYTES, &labels).absolute(sink.bytes);
    // Zero adds nothing: what the encodings leave out is counted where it happens.
    counter!(SINK_OMITTED_VALUES, &labels).increment(0);
    counter!(SINK_OMITTED_READINGS, &labels).increment(0);
    // Zero adds nothing, but a series has to be there before its first event.
    counter!(SINK_FOUND, &labels).increment(0);
    counter!(SINK_UNHEARD, &labels).increment(0);
    for reason in LEFT_OUT {
        counter!(SINK_LEFT_OUT, "sink" => sink.name.clone(), "reason" => reason).increment(0);
    }
    let progress = now.progress(sink);
    gauge!(SINK_PENDING, &labels).set(progress.pending as f64);
    gauge!(SINK_OLDEST, &labels).set(progress.oldest_ms.map_or(0.0, |at| now.age_s(at)));
    gauge!(SINK_BACKLOG, &labels).set(progress.backlog as f64);
    counter!(SINK_SKIPPED, &labels).absolute(progress.skipped);
    gauge!(SINK_QUARANTINED, &labels).set(progress.quarantined as f64);
    counter!(SINK_REFUSED, &labels).absolute(progress.refused);
    gauge!(SINK_UNTOLD, &labels).set(progress.untold as f64);
    if let Some(at) = sink.last_delivery_ms {
        gauge!(SINK_AGE, &labels).set(now.age_s(at));
    }
    for state in State::NAMES {
        let labels = [("sink", sink.name.clone()), ("state", state.to_owned())];
        gauge!(SINK_BREAKER, &labels).set(flag(sink.breaker.name() == state));
    }
    counter!(SINK_EVENTS_REFUSED, &labels).absolute(sink.events_refused);
    for held in Held::ALL {
        let labels = [("sink", sink.name.clone()), ("reason", held.name().to_owned())];
        gauge!(SINK_HELD, &labels).set(flag(sink.held == Some(held)));
    }
    if let Some(account) = &sink.account {
        gauge!(SINK_BUDGET, &labels).set(account.budget.bytes as f64);
        gauge!(SINK_SPENT, &labels).set(account.spent as f64);
        gauge!(SINK_FORECAST, &labels).set(account.forecast as f64);
    }
    for cause in Cause::ALL {
        let labels = [("sink", sink.name.clone()), ("cause", cause.name().to_owned())];
        gauge!(SINK_CAUSE, &labels).set(flag(sink.breaker.cause() == Some(cause)));
    }
    sink.endpoints.iter().for_each(|endpoint| refresh_endpoint(sink, endpoint));
}

fn refresh_endpoint(sink: &SinkStatus, endpoint: &EndpointStatus) {
    let own = [("sink", sink.name.clone()), ("endpoint", endpoint.label.clone())];
    counter!(ENDPOINT_REQUESTS, &own).absolute(endpoint.requests);
    counter!(ENDPOINT_FAILURES, &own).absolute(endpoint.failures);
    for state in State::NAMES {
        let [sink, endpoint_] = own.clone();
        let labels = [sink, endpoint_, ("state", state.to_owned())];
        gauge!(ENDPOINT_BREAKER, &labels).set(flag(endpoint.breaker.name() == state));
    }
    // Zero adds nothing, but shows the series before its first move.
    let (until, attempt) = (Duration::ZERO, 0);
    let moves = Cause::ALL.into_iter().flat_map(|cause| {
        let half_open = State::HalfOpen { probing: false, attempt, cause };
        [State::Open { until, attempt, cause }, half_open]
    });
    for to in moves.chain([State::Closed { failures: 0 }]) {
        let labels = transition(&sink.name, &endpoint.label, &to);
        counter!(BREAKER_TRANSITIONS, &labels).increment(0);
    }
}

/// The labels of a breaker's move. A closed one has no cause.
pub(crate) fn transition(sink: &str, endpoint: &str, to: &State) -> [(&'static str, String); 4] {
    let cause = to.cause().map_or("", Cause::name);
    [
        ("sink", sink.to_owned()),
        ("endpoint", endpoint.to_owned()),
        ("to", to.name().to_owned()),
        ("cause", cause.to_owned()),
    ]
}

fn refresh_process(now: &Snapshot, process: &Process) {
    if let Some(bytes) = process.resident_bytes {
        gauge!(RESIDENT).set(bytes as f64);
    }
    if let Some(open) = process.open_fds {
        gauge!(OPEN_FDS).set(open as f64);
    }
    if let Some(since_boot) = process.started_seconds {
        // Whole seconds: the two clocks are not read at the same instant.
        let booted = seconds(now.wall_ms - now.since_boot_ms);
        gauge!(START_TIME).set((booted + since_boot).round());
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
