//! The `/status` page: the values that a technician needs, as one JSON object.
//!
//! The counters of ports and sinks start with the process, those of the ledger with the log. Scripts depend
//! on the names of the keys: add keys, never rename one.

use std::collections::BTreeMap;

use outstation_codec::{FaultCounts, Lane, Loss};
use serde::Serialize;

use super::board::Snapshot;
use crate::domain::model::endpoint::without_query;
use crate::domain::model::ledger::Ledger;
use crate::domain::policy::breaker::Cause;
use crate::domain::policy::budget::{BudgetStatus, Held};
use crate::event_log::LogStatus;
use crate::ingest::{PortState, PortStatus};
use crate::upload::{EndpointStatus, Reason, SinkStatus};

#[derive(Debug, Serialize)]
pub(crate) struct StatusPage<'a> {
    device: &'a str,
    version: &'a str,
    uptime_s: f64,
    /// The names of the actors that make no progress.
    stuck: &'a [String],
    /// The time since the newest configuration was refused; null if it was not.
    reload_refused_age_s: Option<f64>,
    clock: Clock,
    log: Log<'a>,
    ports: Vec<Port<'a>>,
    sinks: Vec<Sink<'a>>,
    ledger: Books,
}

impl<'a> StatusPage<'a> {
    pub(crate) fn of(now: &'a Snapshot) -> Self {
        Self {
            device: &now.device,
            version: now.version,
            uptime_s: seconds(now.uptime),
            stuck: &now.stuck,
            reload_refused_age_s: now
                .reload_refused
                .map(|at| seconds(now.uptime.saturating_sub(at))),
            clock: Clock { set: now.log.clock_set },
            log: Log::of(&now.log),
            ports: now.ports.iter().map(|port| Port::of(now, port)).collect(),
            sinks: now.sinks.iter().map(|sink| Sink::of(now, sink)).collect(),
            ledger: Books::of(&now.log.ledger),
        }
    }
}

#[derive(Debug, Serialize)]
struct Clock {
    /// Whether the wall clock was set since the device booted.
    set: bool,
}

#[derive(Debug, Serialize)]
struct Log<'a> {
    accepting: bool,
    trouble: Option<&'a str>,
    path: &'a str,
    epoch: u64,
    head: u64,
    bytes: u64,
    used_bytes: u64,
    room_bytes: u64,
    aside_bytes: u64,
    commits: u64,
    syncs: u64,
    written_bytes: u64,
    body_bytes: u64,
    sensors: usize,
}

impl<'a> Log<'a> {
    fn of(log: &'a LogStatus) -> Self {
        Self {
            accepting: log.accepting,
            trouble: log.trouble.as_deref(),
            path: &log.path,
            epoch: log.epoch,
            head: log.head,
            bytes: log.disk.file_bytes,
            used_bytes: log.disk.used_bytes,
            room_bytes: log.disk.room_bytes,
            aside_bytes: log.disk.aside_bytes,
            commits: log.wear.commits,
            syncs: log.wear.syncs,
            written_bytes: log.wear.written_bytes,
            body_bytes: log.wear.body_bytes,
            sensors: log.sensors,
        }
    }
}

#[derive(Debug, Serialize)]
struct Port<'a> {
    name: &'a str,
    path: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    opened_once: bool,
    bytes: u64,
    frames: u64,
    /// Frames that wait until their sensor describes itself.
    waiting_frames: u64,
    accepted: u64,
    overflow: u64,
    /// The part of the accepted readings that was recovered from the tail of a process that was killed or
    /// crashed.
    recovered: u64,
    faults: Faults,
    last_reading_age_s: Option<f64>,
}

impl<'a> Port<'a> {
    fn of(now: &Snapshot, port: &'a PortStatus) -> Self {
        let (state, reason) = match &port.state {
            PortState::Open => ("open", None),
            PortState::Untried => ("absent", Some("not tried yet")),
            PortState::Absent { reason } => ("absent", Some(reason.as_str())),
        };
        Self {
            name: &port.name,
            path: &port.path,
            state,
            reason,
            opened_once: port.opened_once,
            bytes: port.received_bytes(),
            frames: port.intake.frames,
            waiting_frames: port.partial.frames,
            accepted: port.intake.accepted,
            overflow: port.intake.overflow,
            recovered: port.recovered,
            faults: faults(&port.intake.faults),
            last_reading_age_s: port.last_reading_ms.map(|at| now.age_s(at)),
        }
    }
}

#[derive(Debug, Serialize)]
struct Sink<'a> {
    name: &'a str,
    url: &'a str,
    breaker: &'static str,
    cause: Option<&'static str>,
    retry_in_s: Option<f64>,
    last_error: Option<String>,
    requests: u64,
    failures: u64,
    batches: u64,
    delivered: u64,
    pending: u64,
    backlog: u64,
    oldest_pending_age_s: Option<f64>,
    pending_lanes: BTreeMap<&'static str, bool>,
    skipped: u64,
    /// Readings that the sink refused and that are kept in quarantine.
    quarantined: u64,
    /// Readings that the sink refused and that are no longer kept.
    refused: u64,
    pending_events: u64,
    readings: u64,
    bytes: u64,
    last_delivery_age_s: Option<f64>,
    /// The known endpoints of the sink, the preferred one first.
    endpoints: Vec<Endpoint<'a>>,
    events_refused: u64,
    /// The reason why only alarms are sent, if other readings are held back.
    held_back: Option<&'static str>,
    budget: Option<Budget>,
}

impl<'a> Sink<'a> {
    fn of(now: &Snapshot, sink: &'a SinkStatus) -> Self {
        let progress = now.progress(sink);
        Self {
            name: &sink.name,
            url: without_query(&sink.url),
            breaker: sink.breaker.name(),
            cause: sink.breaker.cause().map(Cause::name),
            retry_in_s: sink.retry_at.map(|at| seconds(at.saturating_sub(now.uptime))),
            last_error: sink.last_error.as_ref().map(Reason::to_string),
            requests: sink.requests,
            failures: sink.failures,
            batches: sink.batches,
            delivered: progress.delivered,
            pending: progress.pending,
            backlog: progress.backlog,
            oldest_pending_age_s: progress.oldest_ms.map(|at| now.age_s(at)),
            pending_lanes: Lane::ALL
                .iter()
                .map(|lane| (lane.name(), progress.pending_lanes.has(*lane)))
                .collect(),
            skipped: progress.skipped,
            quarantined: progress.quarantined,
            refused: progress.refused,
            pending_events: progress.pending_events,
            readings: sink.readings,
            bytes: sink.bytes,
            last_delivery_age_s: sink.last_delivery_ms.map(|at| now.age_s(at)),
            endpoints: sink.endpoints.iter().map(|one| Endpoint::of(now, one)).collect(),
            events_refused: sink.events_refused,
            held_back: sink.held.map(Held::name),
            budget: sink.account.as_ref().map(Budget::of),
        }
    }
}

#[derive(Debug, Serialize)]
struct Endpoint<'a> {
    url: &'a str,
    priority: u16,
    breaker: &'static str,
    cause: Option<&'static str>,
    retry_in_s: Option<f64>,
    last_error: Option<String>,
    requests: u64,
    failures: u64,
}

impl<'a> Endpoint<'a> {
    fn of(now: &Snapshot, endpoint: &'a EndpointStatus) -> Self {
        let retry_at = endpoint.breaker.until();
        Self {
            url: &endpoint.url,
            priority: endpoint.priority,
            breaker: endpoint.breaker.name(),
            cause: endpoint.breaker.cause().map(Cause::name),
            retry_in_s: retry_at.map(|at| seconds(at.saturating_sub(now.uptime))),
            last_error: endpoint.last_error.as_ref().map(Reason::to_string),
            requests: endpoint.requests,
            failures: endpoint.failures,
        }
    }
}

#[derive(Debug, Serialize)]
struct Budget {
    period: &'static str,
    bytes: u64,
    spent: u64,
    remaining: u64,
    forecast: u64,
    ends_in_s: f64,
}

impl Budget {
    fn of(account: &BudgetStatus) -> Self {
        Self {
            period: account.budget.period.name(),
            bytes: account.budget.bytes,
            spent: account.spent,
            remaining: account.remaining(),
            forecast: account.forecast,
            ends_in_s: seconds(account.ends_in),
        }
    }
}

#[derive(Debug, Serialize)]
struct Books {
    bytes: u64,
    frames: u64,
    accepted: u64,
    uncommitted: u64,
    stored: u64,
    delivered: u64,
    pending: u64,
    quarantined: u64,
    lost: BTreeMap<&'static str, u64>,
    faults: Faults,
    balanced: bool,
    imbalances: Vec<String>,
}

impl Books {
    fn of(ledger: &Ledger) -> Self {
        let imbalances = ledger.imbalances();
        Self {
            bytes: ledger.intake.bytes,
            frames: ledger.intake.frames,
            accepted: ledger.intake.accepted,
            uncommitted: ledger.uncommitted,
            stored: ledger.stored,
            delivered: ledger.delivered,
            pending: ledger.pending,
            quarantined: ledger.quarantined,
            lost: Loss::ALL.iter().map(|loss| (loss.reason(), ledger.lost(*loss))).collect(),
            faults: faults(&ledger.intake.faults),
            balanced: imbalances.is_empty(),
            imbalances,
        }
    }
}

/// The faults that occurred, by reason; those that did not are left out.
type Faults = BTreeMap<&'static str, u64>;

fn faults(counts: &FaultCounts) -> Faults {
    counts.seen().map(|(fault, count)| (fault.reason(), count)).collect()
}

/// The duration in seconds, cut to whole milliseconds: more digits would only be harder to read.
fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::test_site::{Site, site};
    use serde_json::{Value, json};

    fn status(site: &Site) -> Value {
        serde_json::to_value(StatusPage::of(&site.board.snapshot())).expect("it is JSON")
    }

    #[tokio::test(start_paused = true)]
    async fn the_page_has_this_shape() {
        let site = site();
        tokio::time::advance(std::time::Duration::from_millis(1500)).await;
        let sink = json!({
            "name": "cloud", "url": "https://example.com/v1/readings", "breaker": "closed",
            "cause": null, "retry_in_s": null, "last_error": null, "requests": 2,
            "failures": 1, "batches": 1, "delivered": 4, "pending": 3, "backlog": 1,
            "oldest_pending_age_s": 1.5,
            "pending_lanes": {"alarm": false, "live": true, "backfill": false}, "skipped": 5,
            "quarantined": 0, "refused": 0, "pending_events": 2,
            "readings": 4,
            "bytes": 99, "last_delivery_age_s": null, "events_refused": 0, "held_back": null,
            "budget": {
                "period": "day", "bytes": 1000, "spent": 300, "remaining": 700,
                "forecast": 1200, "ends_in_s": 3600.0,
            },
            "endpoints": [{
                "url": "https://example.com/v1/readings", "priority": 0, "breaker": "closed",
                "cause": null, "retry_in_s": null, "last_error": null, "requests": 2,
                "failures": 1,
            }],
        });
        let expected = json!({
            "device": "pump-7", "version": "0.1.0", "uptime_s": 1.5, "clock": {"set": true},
            "stuck": [], "reload_refused_age_s": null,
            "log": {
                "accepting": true, "trouble": null, "path": "/var/lib/outstation/log.db",
                "epoch": 9, "head": 7, "bytes": 8192, "used_bytes": 4096,
                "room_bytes": 1_048_576, "aside_bytes": 0, "commits": 3, "syncs": 5,
                "written_bytes": 2048, "body_bytes": 700, "sensors": 1,
            },
            "ports": [{
                "name": "mcu", "path": "/dev/ttyUSB0", "state": "open", "reason": null,
                "opened_once": true, "bytes": 120, "frames": 10, "waiting_frames": 0,
                "accepted": 10, "overflow": 2, "recovered": 0, "faults": {"crc": 1}, "last_reading_age_s": 1.5,
            }],
            "sinks": [sink],
            "ledger": {
                "bytes": 120, "frames": 10, "accepted": 10, "uncommitted": 1, "stored": 7,
                "delivered": 4, "pending": 3, "quarantined": 0,
                "lost": {"overflow": 2, "evicted": 0, "damaged": 0, "refused": 0}, "faults": {"crc": 1},
                "balanced": true, "imbalances": [],
            },
        });
        assert_eq!(status(&site), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_is_said() {
        let site = site();
        site.unplug();
        site.take_link_down();
        site.log.send_modify(|log| log.ledger.pending += 1);
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        let status = status(&site);
        assert_eq!(status["ports"][0]["state"], "absent");
        assert_eq!(status["ports"][0]["reason"], "`/dev/ttyUSB0` is gone; is it unplugged?");
        assert_eq!(status["sinks"][0]["breaker"], "open");
        assert_eq!(status["sinks"][0]["cause"], "link_down");
        assert_eq!(status["sinks"][0]["retry_in_s"], 20.0);
        assert_eq!(status["sinks"][0]["last_error"], "failed to connect");
        let endpoint = &status["sinks"][0]["endpoints"][0];
        assert_eq!(
            (&endpoint["breaker"], &endpoint["cause"]),
            (&json!("open"), &json!("link_down"))
        );
        assert_eq!(endpoint["retry_in_s"], 20.0);
        assert_eq!(status["ledger"]["balanced"], false);
        let broken = "stored = delivered + pending + quarantined + lost: 7 is not 8";
        assert_eq!(status["ledger"]["imbalances"], json!([broken]));
    }
}
