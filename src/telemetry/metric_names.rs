//! The table of all metrics: their names, kinds, labels and meanings.
//!
//! Events count some of them when something happens; the others are read from the statuses of the stages
//! when the page is requested (`status/metrics.rs`). `docs/fleet/metrics.md` is generated from this table.

use crate::domain::policy::breaker::{BreakerState, Cause};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
}

/// One metric, as the page of metrics and its documentation describe it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! table {
    ($($id:ident $kind:ident [$($label:ident)*] $name:literal $help:literal,)+) => {
        $(#[doc = $help] pub(crate) const $id: &str = $name;)+

        /// All metrics, in the order in which they are shown.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$(stringify!($label)),*],
            help: $help,
        }),+];
    };
}

// Counters of ports and sinks start with the process, counters of readings with the log. The table has ages
// and no timestamps, because a board's wall clock may be wrong, or be set in between.
table! {
    BUILD_INFO Gauge [version] "outstation_build_info" "Always 1; the label says which version runs.",
    UPTIME Gauge [] "outstation_uptime_seconds" "Time since the daemon started.",
    DEVICE_UPTIME Gauge [] "outstation_device_uptime_seconds" "Time since the device booted.",
    CLOCK Gauge [] "outstation_clock_seconds" "What the device's wall clock shows, in seconds since 1970.",
    CLOCK_SET Gauge [] "outstation_clock_set" "Whether the wall clock was set since the device booted (1) or readings still await their dates (0).",
    CONFIG_REFUSED Gauge [] "outstation_config_reload_refused" "Whether the newest configuration was refused (1) and the one before goes on.",
    ACTOR_RESTARTS Counter [actor] "outstation_actor_restarts_total" "Crashes of an actor, each followed by a restart while the budget lasts.",
    ACTOR_STUCK Gauge [actor] "outstation_actor_stuck" "Whether an actor makes no progress (1).",
    TELEMETRY_DROPPED Counter [] "outstation_telemetry_dropped_total" "Log messages that were not written, because journald or the reader of stderr did not read.",

    LOG_ACCEPTING Gauge [] "outstation_log_accepting" "Whether the log is open and its last commit succeeded (1).",
    LOG_BYTES Gauge [] "outstation_log_bytes" "Size of the log's database file, without its write-ahead log.",
    LOG_USED Gauge [] "outstation_log_used_bytes" "Part of the log's file that holds readings and events; the rest is free for more.",
    LOG_ROOM Gauge [] "outstation_log_room_bytes" "How far outstation_log_used_bytes may grow before the oldest readings are evicted.",
    LOG_ASIDE Gauge [] "outstation_log_aside_bytes" "Size of a damaged log that was set aside.",
    FILE_SYSTEM_FREE Gauge [] "outstation_log_filesystem_free_bytes" "Space on the log's file system that is free for the daemon.",
    FILE_SYSTEM_SIZE Gauge [] "outstation_log_filesystem_size_bytes" "Size of the file system of the log.",
    LOG_COMMITS Counter [] "outstation_log_commits_total" "Commits since the process started.",
    LOG_SYNCS Counter [] "outstation_log_syncs_total" "Syncs that the log asked of the storage, for commits and for moving its write-ahead log, since the process started.",
    LOG_WRITTEN Counter [] "outstation_log_written_bytes_total" "Bytes that commits and moving the write-ahead log wrote since the process started, without what the file system adds.",
    LOG_BODIES Counter [] "outstation_log_body_bytes_total" "Part of outstation_log_written_bytes_total that is readings, as they were encoded first.",
    LOG_HEAD Gauge [] "outstation_log_head" "Last committed sequence number.",
    LOG_SENSORS Gauge [] "outstation_log_sensors" "Sensors the log knows.",

    PORT_OPEN Gauge [port] "outstation_port_open" "Whether the port is open (1) or absent (0).",
    PORT_BYTES Counter [port] "outstation_port_received_bytes_total" "Bytes received from the port.",
    PORT_FRAMES Counter [port] "outstation_port_frames_total" "Whole frames or lines received from the port.",
    PORT_WAITING Gauge [port] "outstation_port_waiting_frames" "Frames that wait until their sensor describes itself.",
    PORT_FAULTS Counter [port reason] "outstation_port_faults_total" "Faults in the bytes and frames received from the port, by reason.",
    PORT_READINGS Counter [port] "outstation_port_readings_total" "Readings decoded from the bytes of the port.",
    PORT_RECOVERED Counter [port] "outstation_port_recovered_readings_total" "Readings taken up from the crash tail of a process that was killed or crashed.",
    PORT_UNRECORDED Counter [port] "outstation_port_unrecorded_bytes_total" "Bytes received that the crash tail could not keep: a kill before their commit would have lost them.",
    PORT_AGE Gauge [port] "outstation_port_last_reading_age_seconds" "Time since the port's last reading; absent before the first.",

    ACCEPTED Counter [] "outstation_readings_accepted_total" "Readings accepted over the life of the log.",
    UNCOMMITTED Gauge [] "outstation_readings_uncommitted" "Readings accepted that the next commit will store.",
    STORED Counter [] "outstation_readings_stored_total" "Readings stored over the life of the log.",
    DELIVERED Counter [] "outstation_readings_delivered_total" "Readings delivered to every sink over the life of the log.",
    PENDING Gauge [] "outstation_readings_pending" "Readings stored that some sink does not have yet.",
    QUARANTINED Gauge [] "outstation_readings_quarantined" "Readings kept in quarantine because a sink refused them.",
    LOST Counter [reason] "outstation_readings_lost_total" "Readings lost over the life of the log, by reason.",
    BALANCED Gauge [] "outstation_ledger_balanced" "Whether every byte, frame and reading is accounted for (1).",

    SINK_BREAKER Gauge [sink state] "outstation_sink_breaker_state" "1 for the state the sink's circuit breaker is in, 0 for the others.",
    SINK_CAUSE Gauge [sink cause] "outstation_sink_breaker_cause" "1 for the cause for which the sink's circuit breaker is not closed, 0 for the others.",
    ENDPOINT_BREAKER Gauge [sink endpoint state] "outstation_endpoint_breaker" "1 for the state the circuit breaker of one of the sink's endpoints is in, 0 for the others.",
    ENDPOINT_REQUESTS Counter [sink endpoint] "outstation_endpoint_requests_total" "Requests made to one of the sink's endpoints.",
    ENDPOINT_FAILURES Counter [sink endpoint] "outstation_endpoint_failures_total" "Requests to one of the sink's endpoints that did not succeed.",
    BREAKER_TRANSITIONS Counter [sink endpoint to cause] "outstation_breaker_transitions_total" "Moves of the circuit breaker of one of the sink's endpoints, by the state it moved to and its cause.",
    SINK_REQUESTS Counter [sink] "outstation_sink_requests_total" "Requests made to the sink.",
    SINK_FAILURES Counter [sink] "outstation_sink_failures_total" "Requests to the sink that did not succeed; nothing is lost by them.",
    SINK_BATCHES Counter [sink] "outstation_sink_batches_total" "Batches the sink accepted.",
    SINK_READINGS Counter [sink] "outstation_sink_readings_total" "Readings the sink accepted.",
    SINK_BYTES Counter [sink] "outstation_sink_sent_bytes_total" "Bytes of accepted request bodies.",
    SINK_OMITTED_VALUES Counter [sink] "outstation_sink_omitted_values_total" "Values left out of delivered readings because the sink's encoding cannot say them, such as NaN.",
    SINK_OMITTED_READINGS Counter [sink] "outstation_sink_omitted_readings_total" "Readings counted as delivered that were not sent, because the sink's encoding can say nothing of them.",
    SINK_PENDING Gauge [sink] "outstation_sink_pending_readings" "Readings the sink does not have yet.",
    SINK_OLDEST Gauge [sink] "outstation_sink_oldest_pending_age_seconds" "Time since the oldest reading arrived that the sink does not have yet; 0 when it has all.",
    SINK_BACKLOG Gauge [sink] "outstation_sink_backlog_readings" "Part of outstation_sink_pending_readings that has waited so long that fresh readings go first.",
    SINK_SKIPPED Counter [sink] "outstation_sink_skipped_total" "Readings that left the log before this sink had them, because it is best-effort.",
    SINK_QUARANTINED Gauge [sink] "outstation_sink_quarantined_readings" "Readings the sink refused that are kept in quarantine.",
    SINK_REFUSED Counter [sink] "outstation_sink_refused_readings_total" "Readings the sink refused that are kept no longer, over the life of the log.",
    SINK_PENDING_EVENTS Gauge [sink] "outstation_sink_pending_events" "Published events that the sink does not have yet.",
    SINK_EVENTS_REFUSED Counter [sink] "outstation_sink_refused_events_total" "Events the sink refused, which are not offered again.",
    SINK_HELD Gauge [sink reason] "outstation_sink_held_back" "1 for the reason why only alarms leave for the sink, 0 for the others.",
    SINK_BUDGET Gauge [sink] "outstation_sink_budget_bytes" "Bytes on the wire that the sink may use in each period; absent without a budget.",
    SINK_SPENT Gauge [sink] "outstation_sink_budget_spent_bytes" "Bytes on the wire that the sink used in this period; absent without a budget.",
    SINK_FORECAST Gauge [sink] "outstation_sink_budget_forecast_bytes" "Bytes that the sink will have used when the period ends, at the rate so far; absent without a budget.",
    SINK_LEFT_OUT Counter [sink reason] "outstation_sink_left_out_values_total" "Values of delivered readings that the sink's protocol has no room for, by reason: text, or replaced by a later value of the same millisecond.",
    SINK_FOUND Counter [sink] "outstation_sink_found_readings_total" "Readings that the sink's server was found to have already, sent when nobody answered; they count as delivered.",
    SINK_UNHEARD Counter [sink] "outstation_sink_unheard_messages_total" "Messages of readings for which the sink's broker had no subscriber; they count as delivered (MQTT 5 alone says so).",
    SINK_AGE Gauge [sink] "outstation_sink_last_delivery_age_seconds" "Time since the sink last accepted a batch; absent before the first.",

    HTTP_REFUSED Counter [reason] "outstation_http_refused_total" "Clients of the local port that were turned away or cut off, by reason.",

    RESIDENT Gauge [] "process_resident_memory_bytes" "Resident memory size in bytes.",
    CPU Counter [] "process_cpu_seconds_total" "Total user and system CPU time spent in seconds.",
    OPEN_FDS Gauge [] "process_open_fds" "Number of open file descriptors.",
    START_TIME Gauge [] "process_start_time_seconds" "Start time of the process since unix epoch in seconds, as the wall clock stands now.",
}

/// The reasons why a value is left out.
pub(crate) const LEFT_OUT: [&str; 2] = ["text", "replaced"];

/// The labels of a breaker's change of state. The closed state has no cause.
pub(crate) fn transition(
    sink: &str,
    endpoint: &str,
    to: &BreakerState,
) -> [(&'static str, String); 4] {
    let cause = to.cause().map_or("", Cause::name);
    [
        ("sink", sink.to_owned()),
        ("endpoint", endpoint.to_owned()),
        ("to", to.name().to_owned()),
        ("cause", cause.to_owned()),
    ]
}
