//! The stack with the real uploader and a real log, across restarts of the process.

use std::path::Path;

use outstation_codec::{Lane, PublishedEvent, Value};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::config::Pace;
use crate::domain::model::event::{Event, Stream};
use crate::event_log::Limits;
use crate::event_log::inspect::LogView;
use crate::event_log::settings::{LogConfig, SinkRules};
use crate::supervisor::heartbeat::Heartbeat;
use crate::supervisor::{ActorSupervisor, Stage};
use crate::test_kit::log::{TestLog, settings};
use crate::upload::uploader::actor::Upload;
use crate::upload::uploader::recall;

const SECOND: Duration = Duration::from_secs(1);

/// One process: a log, an uploader, and its scripted sink.
struct Process {
    supervisor: ActorSupervisor,
    status: watch::Receiver<SinkStatus>,
    sink: Scripted,
    log: TestLog,
    upload: JoinSet<()>,
}

impl Process {
    fn start(folder: &Path, clock: &Clock, retries: u32, answers: Vec<Answer>) -> Self {
        let rules = SinkRules::waited_for("s", false);
        let settings = LogConfig { sinks: vec![rules], ..settings(folder, &["s"]) };
        let log = TestLog::start(settings, clock.clone());
        let (clock, mut upload) = (clock.clone(), JoinSet::new());
        let (sender, status) = watch::channel(SinkStatus::new("s", "http://a"));
        let context = breakers(sender.clone(), log.appender(), clock.clone());
        let sink = Scripted::default();
        sink.turn_to(answers);
        let sinks = BTreeMap::from([("a".to_owned(), sink.clone())]);
        let known = watch::channel(endpoints_of(&[(0, "a")])).1;
        let endpoints = Endpoints::new(known, context, connect(&sinks));
        let supervisor = ActorSupervisor::new(clock.clone());
        let running = Upload {
            sink: "s".into(),
            stack: stack(endpoints.clone(), retries, None, &Wire::default()),
            reader: log.reader("s"),
            appender: log.appender(),
            limits: Limits { readings_max: 100, bytes_max: 1 << 20 },
            pace: Pace::default(),
            wire: Wire::default(),
            clock,
            status: sender,
            stop: supervisor.stop_of(Stage::Uploads),
            heartbeat: Heartbeat::unwatched(),
        };
        upload.spawn(async move {
            let Ok(()) = recall::run(running, endpoints).await;
        });
        Self { supervisor, status, sink, log, upload }
    }

    async fn append(&self, count: i64) {
        self.log.append(Lane::Live, (0..count).map(Value::Int)).await;
    }

    async fn breaker(&self, name: &str) {
        let mut status = self.status.clone();
        let there = |status: &SinkStatus| status.breaker.name() == name;
        let waited = tokio::time::timeout(DAY, status.wait_for(there)).await;
        drop(waited.unwrap_or_else(|_| panic!("not {name} in a day")).expect("running"));
    }

    fn delivered_and_pending(&self) -> (u64, u64) {
        let progress = self.log.status().borrow().sinks["s"];
        (progress.delivered, progress.pending)
    }

    async fn delivered(&self, count: u64) {
        let mut log = self.log.status();
        let there = log.wait_for(|log| log.sinks["s"].delivered == count);
        let waited = tokio::time::timeout(DAY, there).await;
        drop(waited.unwrap_or_else(|_| panic!("not {count} in a day")).expect("running"));
    }

    /// Ends the process as a crash does, once the notes that are under way have been committed.
    async fn crash(mut self) {
        let mut log = self.log.status();
        let commits = log.borrow_and_update().wear.commits;
        drop(
            tokio::time::timeout(SECOND / 2, log.wait_for(|log| log.wear.commits > commits)).await,
        );
        self.upload.shutdown().await;
        self.log.kill().await;
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn clock(boot: &str) -> Clock {
    Clock::simulated(boot, 1_800_000_000_000)
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_leave_the_delivery_state_where_it_was() {
    let folder = folder();
    let process = Process::start(folder.path(), &clock("boot"), 2, vec![accepted(), down()]);
    process.append(10).await;
    process.delivered(10).await;
    process.append(10).await;
    process.breaker("open").await;
    assert!(process.sink.calls() >= 4, "the retries are exhausted");
    assert_eq!(process.delivered_and_pending(), (10, 10));
    process.sink.turn_to([accepted()]);
    process.delivered(20).await;
    let offers = process.sink.offers.lock().expect("no panic");
    let firsts: Vec<u64> = offers.iter().map(|(_, offer)| offer.0.first_seq()).collect();
    assert!(firsts[1..=4].iter().all(|first| *first == 11), "nothing is passed by: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_while_open_returns_at_once() {
    let folder = folder();
    let mut process = Process::start(folder.path(), &clock("boot"), 0, vec![busy_for(3600)]);
    process.append(10).await;
    process.breaker("open").await;
    let (calls, before) = (process.sink.calls(), Instant::now());
    drop(process.supervisor);
    let ended = tokio::time::timeout(DAY, process.upload.join_next()).await;
    ended.expect("it ends").expect("running").expect("no panic");
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(process.sink.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn the_next_process_goes_on_where_this_one_stood() {
    let (folder, clock) = (folder(), clock("boot"));
    let process = Process::start(folder.path(), &clock, 0, vec![busy_for(3600)]);
    process.append(10).await;
    process.breaker("open").await;
    let until = process.status.borrow().retry_at.expect("it is open");
    process.crash().await;
    // The sink would accept a request.
    let process = Process::start(folder.path(), &clock, 0, vec![accepted()]);
    process.breaker("open").await;
    let then = process.status.borrow().retry_at.expect("it is open");
    assert!(then.abs_diff(until) <= Duration::from_millis(2), "{then:?} instead of {until:?}");
    process.delivered(10).await;
    assert!(clock.now() >= until - Duration::from_millis(2), "delivered at {:?}", clock.now());
    process.crash().await;
    // The state of the breaker is gone from the log once it has closed.
    let process = Process::start(folder.path(), &clock, 0, vec![accepted()]);
    let before = clock.now();
    process.append(10).await;
    process.delivered(20).await;
    assert!(clock.now() - before < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_the_first_probe_comes_within_ten_seconds() {
    let folder = folder();
    let process = Process::start(folder.path(), &clock("boot"), 0, vec![busy_for(3600)]);
    process.append(10).await;
    process.breaker("open").await;
    process.crash().await;
    let clock = clock("another");
    let process = Process::start(folder.path(), &clock, 0, vec![accepted()]);
    process.breaker("open").await;
    process.delivered(10).await;
    assert!(clock.now() <= Duration::from_millis(10_010), "{:?}", clock.now());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_published_once_and_not_once_a_probe() {
    let folder = folder();
    let process = Process::start(folder.path(), &clock("boot"), 0, vec![down()]);
    process.append(10).await;
    tokio::time::sleep(SECOND * 600).await;
    assert!(process.sink.calls() > 20, "{} probes", process.sink.calls());
    process.sink.turn_to([accepted()]);
    process.delivered(10).await;
    process.crash().await;
    let view = LogView::open(&folder.path().join("log.db")).expect("it opens");
    let events = view.stream(&Stream::sink("s")).expect("it reads").events;
    let moves: Vec<_> = events.into_iter().filter_map(|stored| stored.event).collect();
    let moved =
        |to: &str, cause: &str| PublishedEvent::BreakerMoved { to: to.into(), cause: cause.into() };
    assert_eq!(moves, [moved("open", "link_down"), moved("closed", "")].map(Event::from));
}
