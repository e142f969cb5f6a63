//! A board with one port and one sink, for the tests of the pages that are made from it.

use std::time::Duration;

use tokio::sync::watch;

use outstation_codec::Fault;

use super::board::{Configured, StatusBoard};
use crate::clock::Clock;
use crate::domain::model::ledger::{Intake, Ledger};
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::domain::policy::budget::{Budget, BudgetStatus, Period};
use crate::event_log::{LogStatus, PendingLanes, Progress};
use crate::ingest::{PortState, PortStatus};
use crate::supervisor::ActorSupervisor;
use crate::upload::{EndpointStatus, SinkStatus};

/// A daemon at work, with the sending ends through which a test changes its statuses.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) board: StatusBoard,
    pub(crate) log: watch::Sender<LogStatus>,
    pub(crate) port: watch::Sender<PortStatus>,
    pub(crate) sink: watch::Sender<SinkStatus>,
    pub(crate) configured: watch::Sender<Configured>,
}

pub(crate) fn site() -> Site {
    let clock = Clock::simulated("boot", 1_700_000_000_000);
    let liveness = ActorSupervisor::new(clock.clone()).liveness();
    let (log, port, sink) = (log_status(), port_status(), sink_status());
    let (log, port, sink) =
        (watch::Sender::new(log), watch::Sender::new(port), watch::Sender::new(sink));
    let configured = watch::Sender::new(Configured {
        ports: vec![port.subscribe()],
        sinks: vec![sink.subscribe()],
        refused: None,
    });
    let board = StatusBoard {
        device: "pump-7".into(),
        version: "0.1.0",
        clock,
        liveness,
        log: log.subscribe(),
        configured: configured.subscribe(),
    };
    Site { board, log, port, sink, configured }
}

/// 10 accepted = 7 stored + 1 uncommitted + 2 overflowed; 7 stored = 4 delivered + 3 pending.
fn log_status() -> LogStatus {
    let intake = intake();
    LogStatus {
        accepting: true,
        path: "/var/lib/outstation/log.db".into(),
        epoch: 9,
        head: 7,
        disk: crate::event_log::Disk {
            file_bytes: 8192,
            used_bytes: 4096,
            aside_bytes: 0,
            room_bytes: 1 << 20,
        },
        wear: crate::event_log::Wear { commits: 3, syncs: 5, written_bytes: 2048, body_bytes: 700 },
        sensors: 1,
        clock_set: true,
        ports: [("mcu".to_owned(), intake.clone())].into(),
        sinks: [("cloud".to_owned(), progress())].into(),
        ledger: Ledger {
            intake,
            uncommitted: 1,
            stored: 7,
            delivered: 4,
            pending: 3,
            ..Ledger::default()
        },
        ..LogStatus::default()
    }
}

fn progress() -> Progress {
    let pending_lanes = PendingLanes { live: true, ..PendingLanes::default() };
    Progress {
        delivered: 4,
        pending: 3,
        backlog: 1,
        oldest_ms: Some(0),
        pending_lanes,
        skipped: 5,
        pending_events: 2,
        ..Progress::default()
    }
}

fn port_status() -> PortStatus {
    PortStatus {
        state: PortState::Open,
        opened_once: true,
        intake: intake(),
        last_reading_ms: Some(0),
        ..PortStatus::new("mcu", "/dev/ttyUSB0")
    }
}

fn sink_status() -> SinkStatus {
    let url = "https://example.com/v1/readings?key=secret";
    let label = "https://example.com".to_owned();
    let endpoint = EndpointStatus {
        requests: 2,
        failures: 1,
        ..EndpointStatus::new("https://example.com/v1/readings", label, 0)
    };
    SinkStatus {
        endpoints: vec![endpoint],
        requests: 2,
        failures: 1,
        batches: 1,
        readings: 4,
        bytes: 99,
        account: Some(account()),
        ..SinkStatus::new("cloud", url)
    }
}

fn account() -> BudgetStatus {
    let budget = Budget { bytes: 1000, period: Period::Day };
    BudgetStatus { budget, spent: 300, forecast: 1200, ends_in: Duration::from_secs(3600) }
}

fn intake() -> Intake {
    let mut intake = Intake {
        bytes: 120,
        frame_bytes: 110,
        fault_bytes: 10,
        frames: 10,
        accepted: 10,
        overflow: 2,
        ..Intake::default()
    };
    intake.faults.add(Fault::Crc, 1);
    intake
}

impl Site {
    pub(crate) fn unplug(&self) {
        let reason = "`/dev/ttyUSB0` is gone; is it unplugged?".to_owned();
        self.port.send_modify(|port| port.state = PortState::Absent { reason });
    }

    pub(crate) fn take_link_down(&self) {
        let until = self.board.clock.now() + Duration::from_secs(30);
        self.sink.send_modify(|sink| {
            sink.breaker = BreakerState::Open { until, attempt: 0, cause: Cause::LinkDown };
            sink.retry_at = Some(until);
            sink.last_error = Some("failed to connect".into());
            sink.endpoints[0].breaker = sink.breaker;
            sink.endpoints[0].last_error.clone_from(&sink.last_error);
        });
    }
}
