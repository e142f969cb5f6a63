//! A port with a log that accepts nothing: the port must stay alive and lose nothing avoidable.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::actor::{Ingest, run};
use super::*;
use crate::clock::Clock;
use crate::demo::pty::Pty;
use crate::event_log::settings::{Intervals, LogConfig};
use crate::event_log::{self, Append, LogStatus};
use crate::supervisor::heartbeat::{Heartbeat, Liveness};
use crate::supervisor::{ActorSupervisor, Stage};
use crate::test_kit::config::port;
use crate::test_kit::log::{TestLog, settings};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_port_that_vanishes_while_the_log_is_stuck_still_answers_rounds() {
    let (log, _mailbox) = event_log::channel();
    while let Ok(permit) = timeout(Duration::ZERO, log.appender().permit()).await {
        permit.expect("open").send(Append::default());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut pty = Pty::open().expect("a pseudo-terminal");
    let (status, mut seen) = watch::channel(PortStatus::new("p", "p"));
    let liveness = Liveness::default();
    let supervisor = ActorSupervisor::new(Clock::system());
    let mut running = JoinSet::new();
    running.spawn(run(Ingest {
        config: port(pty.path(), "framing = \"postcard\""),
        alarms: Vec::new(),
        appender: log.appender(),
        log: watch::channel(LogStatus { epoch: 1, accepting: true, ..LogStatus::default() }).1,
        tail: tail::TailPath::new(folder.path(), Path::new("log.db"), "p", tail::Bound::default()),
        clock: Clock::system(),
        status,
        stop: supervisor.stop_of(Stage::Ports),
        heartbeat: liveness.register("port p"),
    }));
    seen.wait_for(|port| port.state == PortState::Open).await.expect("running");
    pty.send(b"garbage\0").await.expect("sent");
    drop(pty);
    seen.wait_for(|port| matches!(port.state, PortState::Absent { .. })).await.expect("running");
    (0..3).for_each(|_| liveness.check());
    let answers = async {
        while !liveness.stuck().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), answers).await.expect("the port answers");
}

/// A port with a log that commits once per hour.
struct Rig {
    folder: tempfile::TempDir,
    pty: Pty,
    log: TestLog,
    status: watch::Sender<PortStatus>,
    supervisor: ActorSupervisor,
    running: JoinSet<()>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let commit_interval = Intervals { alarm: HOUR, live: HOUR, backfill: HOUR };
        let settings = LogConfig { commit_interval, ..settings(folder.path(), &[]) };
        let log = TestLog::start(settings, Clock::system());
        let status = watch::Sender::new(PortStatus::new("p", "p"));
        let (pty, supervisor) =
            (Pty::open().expect("a pty"), ActorSupervisor::new(Clock::system()));
        Self { folder, pty, log, status, supervisor, running: JoinSet::new() }
    }

    fn tail(&self) -> tail::TailPath {
        tail::TailPath::new(self.folder.path(), Path::new("log.db"), "p", tail::Bound::default())
    }

    /// Starts one run of the port actor; a crash is an abort of the task.
    fn port(&mut self) -> AbortHandle {
        let ingest = Ingest {
            config: port(
                self.pty.path(),
                "framing = \"lines\"\nformat = \"key-value\"\nline_max = 100",
            ),
            alarms: Vec::new(),
            appender: self.log.appender(),
            log: self.log.status(),
            tail: self.tail(),
            clock: Clock::system(),
            status: self.status.clone(),
            stop: self.supervisor.stop_of(Stage::Ports),
            heartbeat: Heartbeat::unwatched(),
        };
        self.running.spawn(async { run(ingest).await.unwrap_or_default() })
    }

    /// Waits until `text` bytes of text are in the tail.
    async fn recorded(&self, text: usize) {
        let (folder, port) = (self.folder.path(), "log.db-p.tail");
        let size = |name| std::fs::metadata(folder.join(format!("{port}.{name}"))).map(|m| m.len());
        let size = || size("0").unwrap_or(0) + size("1").unwrap_or(0);
        let recorded = async {
            while size() < text as u64 + 40 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), recorded).await.expect("it is recorded");
    }

    async fn accepted(&self, count: u64) {
        let mut port = self.status.subscribe();
        let accepted = port.wait_for(|port| port.intake.accepted == count);
        timeout(Duration::from_secs(10), accepted).await.expect("in time").expect("running");
    }
}

#[tokio::test]
async fn a_port_that_crashes_takes_up_what_it_had_read_and_not_handed_over() {
    let mut rig = Rig::new();
    let text = "n=1\n".repeat(250);
    let first = rig.port();
    rig.pty.send(text.as_bytes()).await.expect("sent");
    rig.recorded(text.len()).await;
    first.abort();
    let second = rig.port();
    rig.accepted(250).await;
    rig.pty.send(text.as_bytes()).await.expect("sent");
    rig.accepted(500).await;
    second.abort();
    rig.port();
    rig.pty.send(text.as_bytes()).await.expect("sent");
    rig.accepted(750).await;
    let status = rig.status.borrow().clone();
    assert_eq!((status.intake.bytes, status.recovered), (3000, 250));
    assert_eq!(status.intake.faults, Default::default());
}
