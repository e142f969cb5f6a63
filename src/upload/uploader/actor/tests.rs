//! The uploader between a real log and a scripted server, through the real stack, with a paused clock.

mod day;
mod outage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};

use outstation_codec::{Lane, PublishedEvent, Sensor, Stamp, Value};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::model::event::Stream;
use crate::domain::policy::breaker::Cause;
use crate::domain::policy::budget::{Held, Period};
use crate::event_log::settings::LogConfig;
use crate::event_log::{Append, Progress};
use crate::supervisor::{ActorSupervisor, Stage};
use crate::test_kit::batches::thermometer;
use crate::test_kit::log::{TestLog, settings};
use crate::upload::AnySink;
use crate::upload::stack;
use crate::upload::stack::breaker::{Context as Breakers, Recoveries};
use crate::upload::stack::endpoints::Endpoints;
use crate::upload::{Attempt, Rejection};

const SECOND: Duration = Duration::from_secs(1);
/// 2027-01-15T08:00:00Z in Unix milliseconds.
const NOW: i64 = 1_800_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(30);
/// More requests than any of these tests needs. An uploader that asks again without a pause would otherwise
/// loop for ever, because paused time does not advance.
const REQUESTS_MAX: usize = 10_000;
const LIMITS: Limits = Limits { readings_max: 65_536, bytes_max: 256 << 10 };

/// How a server handles a request.
struct Reply {
    after: Duration,
    takes: bool,
    /// The answer; `None` means that the server never answers.
    says: Option<Result<Receipt, SinkRefusal>>,
}

impl Reply {
    fn takes(after: Duration) -> Self {
        Self { after, takes: true, says: Some(Ok(Receipt { bytes: 1 })) }
    }

    fn refuses(refusal: SinkRefusal) -> Self {
        Self { after: Duration::ZERO, takes: false, says: Some(Err(refusal)) }
    }

    fn rejects(what: Rejection) -> Self {
        Self::refuses(SinkRefusal::Rejected { what, reason: "no".into() })
    }

    fn down() -> Self {
        let reason = "connection refused".into();
        Self::refuses(SinkRefusal::Retry { cause: Cause::LinkDown, after: None, reason })
    }
}

/// One request, as the server saw it.
#[derive(Clone, Debug)]
struct Asked {
    lane: Lane,
    ids: Vec<i64>,
    events: usize,
    taken: bool,
}

/// The state of a server. The only value of each reading is its id.
struct Site {
    reply: Box<dyn FnMut(&Asked) -> Reply + Send>,
    asked: Vec<Asked>,
    /// By number: the id and when it was first accepted.
    has: BTreeMap<u64, (i64, Instant)>,
    /// By lane: the highest number that was new.
    last: BTreeMap<&'static str, u64>,
    events: BTreeSet<u64>,
    offered: Vec<Weak<Batch>>,
    wire: Wire,
    wire_bytes_each: u64,
    wire_bytes_per_reading: u64,
}

#[derive(Clone)]
struct Server(Arc<Mutex<Site>>);

impl Server {
    fn new(wire: &Wire) -> Self {
        Self(Arc::new(Mutex::new(Site {
            reply: Box::new(|_| Reply::takes(Duration::ZERO)),
            asked: Vec::new(),
            has: BTreeMap::new(),
            last: BTreeMap::new(),
            events: BTreeSet::new(),
            offered: Vec::new(),
            wire: wire.clone(),
            wire_bytes_each: 0,
            wire_bytes_per_reading: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Site> {
        self.0.lock().expect("no panic")
    }

    fn replies(&self, reply: impl FnMut(&Asked) -> Reply + Send + 'static) {
        self.lock().reply = Box::new(reply);
    }

    fn ids(&self) -> BTreeSet<i64> {
        self.lock().has.values().map(|(id, _)| *id).collect()
    }

    fn requests(&self) -> usize {
        self.lock().asked.len()
    }
}

impl Site {
    fn take(&mut self, batch: &Batch, now: Instant) {
        let mut readings = Vec::new();
        batch
            .for_each(|dated| readings.push((dated.reading.seq, id(dated.reading.cells))))
            .expect("sound");
        for (seq, id) in readings {
            if let Some((known, _)) = self.has.get(&seq) {
                assert_eq!(*known, id, "the same number always names the same reading");
                continue;
            }
            self.has.insert(seq, (id, now));
            // One reading alone may be a test request, which comes out of order.
            if batch.readings() > 1 {
                let last = self.last.entry(batch.lane.name()).or_default();
                assert!(*last < seq, "{} arrives after {last} of {}", seq, batch.lane.name());
                *last = seq;
            }
        }
        self.events.extend(batch.events.iter().map(|event| event.position));
    }
}

fn id(cells: &[(u16, &Value)]) -> i64 {
    let [(_, Value::Int(id))] = cells else { panic!("{cells:?}") };
    *id
}

impl Service<Offer> for Server {
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkRefusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Offer(batch): Offer) -> Self::Future {
        let mut ids = Vec::new();
        batch.for_each(|dated| ids.push(id(dated.reading.cells))).expect("sound");
        let (lane, events) = (batch.lane, batch.events.len());
        let mut site = self.lock();
        let count = ids.len() as u64;
        assert!(site.asked.len() < REQUESTS_MAX, "it is asked without end");
        let mut asked = Asked { lane, ids, events, taken: false };
        let reply = (site.reply)(&asked);
        asked.taken = reply.takes;
        site.asked.push(asked);
        site.offered.retain(|offered| offered.strong_count() > 0);
        site.offered.push(Arc::downgrade(&batch));
        site.wire.add(site.wire_bytes_each + count * site.wire_bytes_per_reading);
        drop(site);
        let own = self.clone();
        Box::pin(async move {
            sleep(reply.after).await;
            if reply.takes {
                own.lock().take(&batch, Instant::now());
            }
            match reply.says {
                Some(says) => says,
                None => std::future::pending().await,
            }
        })
    }
}

fn log_config(folder: &Path) -> LogConfig {
    LogConfig { bytes_max: 64 << 20, ..settings(folder, &["s"]) }
}

/// A log, a server and the uploader between them.
struct Rig {
    folder: TempDir,
    clock: Clock,
    log: TestLog,
    server: Server,
    wire: Wire,
    status: watch::Sender<SinkStatus>,
    supervisor: Option<ActorSupervisor>,
    running: JoinSet<()>,
    sensor: Arc<Sensor>,
    next_id: i64,
}

impl Rig {
    fn new(pace: Pace) -> Self {
        Self::on(tempfile::tempdir().expect("a folder"), pace, NOW)
    }

    fn on(folder: TempDir, pace: Pace, wall_ms: i64) -> Self {
        let clock = Clock::simulated("boot", wall_ms);
        let log = TestLog::start(log_config(folder.path()), clock.clone());
        let wire = Wire::default();
        let server = Server::new(&wire);
        let (status, supervisor) = (
            watch::Sender::new(SinkStatus::new("s", "http://s")),
            ActorSupervisor::new(clock.clone()),
        );
        let context = Breakers {
            device: "d".into(),
            sink: "s".into(),
            clock: clock.clone(),
            status: status.clone(),
            appender: log.appender(),
            recoveries: Recoveries::default(),
        };
        let connect = {
            let server = server.clone();
            move |_: &Endpoint, breaker| {
                stack::at_endpoint(AnySink::new(server.clone()), breaker, TIMEOUT)
            }
        };
        let endpoint = Endpoint { priority: 0, weight: 1, url: "http://s".into() };
        let known = watch::channel(vec![endpoint]).1;
        let endpoints = Endpoints::new(known, context, connect);
        let upload = Upload {
            sink: "s".into(),
            stack: stack::stack(endpoints, 2, pace.max_rate, &wire),
            reader: log.reader("s"),
            appender: log.appender(),
            limits: LIMITS,
            pace,
            wire: wire.clone(),
            clock: clock.clone(),
            status: status.clone(),
            stop: supervisor.stop_of(Stage::Uploads),
            heartbeat: Heartbeat::unwatched(),
        };
        let mut running = JoinSet::new();
        running.spawn(async move {
            let Ok(()) = run(upload).await;
        });
        let sensor = Arc::new(thermometer("s"));
        let supervisor = Some(supervisor);
        Self { folder, clock, log, server, wire, status, supervisor, running, sensor, next_id: 0 }
    }

    /// Appends readings and alarms, and returns the ids of the alarms.
    async fn append(&mut self, readings: i64, alarms: i64) -> BTreeSet<i64> {
        let mut append = Append { port: "p".into(), ..Append::default() };
        let now = self.clock.since_boot_ms();
        let (first, end) = (self.next_id, self.next_id + readings + alarms);
        for id in first..end {
            let to = if id < first + readings { &mut append.readings } else { &mut append.alarms };
            to.push(&self.sensor, Stamp::boot(now), [(0, Value::Int(id))]);
        }
        append.intake.accepted = (end - first).unsigned_abs();
        append.intake.frames = append.intake.accepted;
        self.next_id = end;
        self.log.appender().permit().await.expect("open").send(append);
        (first + readings..end).collect()
    }

    /// Waits until the status of the log satisfies `what`.
    async fn until(&self, what: impl FnMut(&LogStatus) -> bool) -> LogStatus {
        let mut status = self.log.status();
        let waited =
            tokio::time::timeout(Duration::from_secs(6 * 3600), status.wait_for(what)).await;
        let found = waited.unwrap_or_else(|_| {
            let (log, sink) = (self.log.status().borrow().clone(), self.status.borrow().clone());
            panic!("not in six hours: {:?} {:?} {sink:?}", log.ledger, log.sinks)
        });
        found.expect("open").clone()
    }

    async fn stored(&self) -> LogStatus {
        let head = self.next_id.unsigned_abs();
        self.until(|log| log.head == head).await
    }

    /// Waits until nothing is pending any more.
    async fn drained(&self) -> LogStatus {
        let head = self.next_id.unsigned_abs();
        let has_all = |progress: &Progress| !progress.has_pending();
        self.until(|log| log.head == head && log.sinks.get("s").is_some_and(has_all)).await
    }

    fn has_all_but(&self, missing: &[i64]) {
        let expected: BTreeSet<i64> =
            (0..self.next_id).filter(|id| !missing.contains(id)).collect();
        let has = self.server.ids();
        assert!(has == expected, "{:?}", has.symmetric_difference(&expected).collect::<Vec<_>>());
        assert_eq!(has.len(), self.server.lock().has.len(), "each once");
    }

    /// Ends the rig as a shutdown does.
    async fn end(mut self) -> TempDir {
        drop(self.supervisor.take());
        let Self { folder, log, mut running, .. } = self;
        while let Some(ended) = running.join_next().await {
            ended.expect("no panic");
        }
        log.end().await;
        folder
    }
}

/// Makes the server reject each request that holds a reading with a bad id.
fn poison(server: &Server, is_bad: impl Fn(i64) -> bool + Send + 'static) {
    server.replies(move |asked| match asked.ids.iter().any(|id| is_bad(*id)) {
        true => Reply::rejects(Rejection::Content),
        false => Reply::takes(Duration::from_millis(50)),
    });
}

#[tokio::test(start_paused = true)]
async fn a_rejected_reading_is_quarantined_and_nothing_waits_behind_it() {
    let mut rig = Rig::new(Pace::default());
    poison(&rig.server, |id| id == 57);
    rig.append(1000, 0).await;
    let log = rig.drained().await;
    rig.has_all_but(&[57]);
    assert_eq!((log.ledger.delivered, log.ledger.quarantined), (999, 1));
    assert_eq!(log.ledger.imbalances(), Vec::<String>::new());
    assert_eq!(rig.status.borrow().breaker.name(), "closed");
    // The first 256, and halves of them: 2·k·log₂ n.
    assert!(rig.server.requests() <= 1 + 2 * 8 + 3, "{} requests", rig.server.requests());
}

#[tokio::test(start_paused = true)]
async fn fresh_readings_and_alarms_do_not_wait_while_a_backlog_is_searched_for_bad_ones() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|_| Reply::down());
    rig.append(20_000, 0).await;
    rig.stored().await;
    // Only the newest commit is fresh.
    rig.append(1, 0).await;
    rig.stored().await;
    sleep(SECOND * 60).await;
    rig.server.replies(|asked| {
        let bad = asked.ids.iter().any(|id| *id < 20_000 && id % 100 == 7);
        let what = Reply { after: SECOND / 10, ..Reply::takes(SECOND) };
        if bad { Reply { after: SECOND / 10, ..Reply::rejects(Rejection::Content) } } else { what }
    });
    rig.until(|log| log.ledger.quarantined > 0).await;
    for _ in 0..20 {
        let before = Instant::now();
        let alarms = rig.append(10, 1).await;
        sleep(SECOND * 2).await;
        assert!(rig.server.ids().contains(&(rig.next_id - 2)), "a fresh reading within 2 s");
        let site = rig.server.lock();
        let alarm = site.has.values().find(|(id, _)| alarms.contains(id)).expect("arrived");
        assert!(alarm.1 - before <= SECOND, "an alarm after {:?}", alarm.1 - before);
    }
    assert!(rig.log.status().borrow().ledger.quarantined < 200, "the search was not over");
    let log = rig.drained().await;
    assert_eq!(log.ledger.quarantined, 200);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_everything_stops_the_sink_and_fills_no_quarantine() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|_| Reply::rejects(Rejection::Content));
    rig.append(5000, 0).await;
    rig.stored().await;
    for _ in 0..24 {
        rig.append(10, 0).await;
        sleep(SECOND * 3600).await;
    }
    let ledger = rig.log.status().borrow().ledger.clone();
    assert!(ledger.quarantined < 16, "{} quarantined", ledger.quarantined);
    assert_eq!(ledger.imbalances(), Vec::<String>::new());
    {
        let status = rig.status.borrow();
        assert_eq!(status.breaker.cause(), Some(Cause::Misconfigured));
        let error = status.last_error.as_ref().expect("said").to_string();
        assert!(error.contains("nearly everything is refused"), "{error}");
    }
    let asked = rig.server.requests();
    assert!(asked < 300, "{asked} requests in a day");
    // Delivery resumes by itself once the server is corrected.
    rig.server.replies(|_| Reply::takes(SECOND / 10));
    let log = rig.drained().await;
    assert_eq!(log.ledger.quarantined, ledger.quarantined);
    assert_eq!(rig.server.ids().len(), 5240 - usize::try_from(ledger.quarantined).expect("few"));
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_leave_the_delivery_state_where_it_was() {
    let mut rig = Rig::new(Pace::default());
    rig.append(100, 0).await;
    let before = rig.drained().await.sinks["s"];
    rig.server.replies(|_| Reply::down());
    rig.append(100, 1).await;
    rig.stored().await;
    let asked = rig.server.requests();
    sleep(SECOND * 600).await;
    assert!(rig.server.requests() > asked + 6, "it was tried and tried again");
    let now = rig.log.status().borrow().sinks["s"];
    assert_eq!((now.delivered, now.pending), (before.delivered, 101));
    rig.server.replies(|_| Reply::takes(Duration::ZERO));
    rig.drained().await;
    rig.has_all_but(&[]);
}

/// A link that carries `rate` readings per second.
fn link(rate: f64) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    move |asked| {
        let took = Duration::from_secs_f64(0.02 + asked.ids.len() as f64 / rate);
        Reply { after: took.min(TIMEOUT * 2), ..Reply::takes(SECOND) }
    }
}

#[tokio::test(start_paused = true)]
async fn backlog_drains_behind_live_at_its_share() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|_| Reply::down());
    for _ in 0..10 {
        rig.append(10_000, 0).await;
        rig.stored().await;
    }
    sleep(SECOND * 30).await;
    // There are more fresh readings than the link can carry.
    rig.server.replies(link(2000.0));
    rig.until(|log| log.ledger.delivered > 0).await;
    let from = rig.server.requests();
    for _ in 0..60 {
        rig.append(3000, 0).await;
        sleep(SECOND).await;
    }
    let site = rig.server.lock();
    let sent = |lane| -> usize {
        site.asked[from..]
            .iter()
            .filter(|asked| asked.lane == lane)
            .map(|asked| asked.ids.len())
            .sum()
    };
    let (live, backfill) = (sent(Lane::Live), sent(Lane::Backfill));
    let share = live as f64 / backfill as f64;
    assert!((3.0..=5.0).contains(&share), "{live} : {backfill}");
}

#[tokio::test(start_paused = true)]
async fn live_latency_stays_below_two_seconds_while_a_backlog_drains_on_a_slow_link() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|_| Reply::down());
    for _ in 0..10 {
        rig.append(10_000, 0).await;
        rig.stored().await;
    }
    // Only the newest commit is fresh.
    rig.append(200, 0).await;
    rig.stored().await;
    sleep(SECOND * 30).await;
    rig.server.replies(link(2000.0));
    rig.until(|log| log.ledger.delivered > 2000).await;
    let mut committed = BTreeMap::new();
    while rig.log.status().borrow().sinks["s"].pending > 5000 {
        let first = rig.next_id;
        rig.append(200, 0).await;
        rig.stored().await;
        committed.insert(first, Instant::now());
    }
    rig.drained().await;
    let site = rig.server.lock();
    let arrived: BTreeMap<i64, Instant> = site.has.values().copied().collect();
    assert!(committed.len() > 40, "{} seconds of draining", committed.len());
    let worst = committed.iter().map(|(id, at)| arrived[id] - *at).max().expect("some");
    assert!(worst <= SECOND * 3 / 2, "{worst:?} after the commit");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_waits_seconds_at_most_behind_a_backlog_that_is_paid_back_at_max_rate() {
    let mut rig = Rig::new(Pace { max_rate: Some(10_000), ..Pace::default() });
    rig.server.replies(|_| Reply::down());
    rig.server.lock().wire_bytes_per_reading = 100;
    for _ in 0..5 {
        rig.append(10_000, 0).await;
        rig.stored().await;
    }
    rig.server.replies(|_| Reply::takes(SECOND / 100));
    rig.until(|log| log.ledger.delivered > 1000).await;
    for _ in 0..20 {
        let before = Instant::now();
        let alarms = rig.append(0, 1).await;
        sleep(SECOND * 15).await;
        let site = rig.server.lock();
        let alarm = site.has.values().find(|(id, _)| alarms.contains(id)).expect("arrived");
        assert!(alarm.1 - before <= SECOND * 3, "an alarm after {:?}", alarm.1 - before);
    }
    assert!(rig.log.status().borrow().sinks["s"].pending > 10_000, "the backlog is still there");
}

#[tokio::test(start_paused = true)]
async fn a_link_too_slow_for_a_whole_batch_gets_through_all_the_same() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(link(3.0));
    rig.append(3000, 0).await;
    rig.drained().await;
    rig.has_all_but(&[]);
    let timeouts = rig.status.borrow().failures;
    assert!(timeouts <= 12, "{timeouts} requests took too long");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_sent_in_parts_and_the_next_batches_are_smaller() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|asked| match asked.ids.len() > 1000 {
        true => Reply::rejects(Rejection::TooLarge),
        false => Reply::takes(SECOND / 100),
    });
    for _ in 0..20 {
        rig.append(10_000, 0).await;
        rig.stored().await;
    }
    let log = rig.drained().await;
    rig.has_all_but(&[]);
    assert_eq!(log.ledger.quarantined, 0);
    let site = rig.server.lock();
    let too_large = site.asked.iter().filter(|asked| !asked.taken).count();
    assert!(too_large <= 10, "{too_large} of {} were too large", site.asked.len());
}

#[tokio::test(start_paused = true)]
async fn events_that_are_too_large_or_late_shrink_no_batch_of_readings() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|asked| match asked.events > 1 {
        true => Reply::rejects(Rejection::TooLarge),
        false => Reply::takes(SECOND / 2),
    });
    let note = |count: usize| {
        (0..count)
            .for_each(|_| rig.log.appender().note(Stream::port("p"), PublishedEvent::PortOpened));
    };
    note(20);
    rig.until(|log| log.sinks.get("s").is_some_and(|progress| progress.pending_events > 0)).await;
    rig.drained().await;
    assert!(rig.server.requests() > 20, "they were divided");
    note(20);
    rig.append(1000, 0).await;
    rig.drained().await;
    rig.has_all_but(&[]);
    let site = rig.server.lock();
    let of_readings =
        site.asked.iter().filter(|asked| asked.taken && !asked.ids.is_empty()).count();
    assert!(of_readings <= 8, "{of_readings} requests for a thousand readings");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_is_given_up_and_no_reading_waits_behind_it() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|asked| match asked.events > 0 {
        true => Reply::rejects(Rejection::Content),
        false => Reply::takes(SECOND / 10),
    });
    let note = || rig.log.appender().note(Stream::port("p"), PublishedEvent::PortOpened);
    (0..5).for_each(|_| note());
    rig.append(300, 0).await;
    let log = rig.drained().await;
    rig.has_all_but(&[]);
    assert_eq!((log.ledger.quarantined, log.ledger.delivered), (0, 300));
    assert!(rig.status.borrow().events_refused >= 5, "{:?}", rig.status.borrow());
    let first = rig.server.lock().asked.iter().position(|asked| asked.taken).expect("readings");
    assert!(first <= 1, "readings went right after the refusal");
}

fn budget(bytes: u64) -> Pace {
    Pace { budget: Some(bytes), budget_period: Period::Day, ..Pace::default() }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_leaves_although_the_budget_is_spent() {
    let mut rig = Rig::new(budget(1000));
    rig.server.lock().wire_bytes_each = 400;
    for _ in 0..5 {
        rig.append(10, 0).await;
        rig.stored().await;
        sleep(SECOND).await;
    }
    assert_eq!(rig.server.ids().len(), 30, "the third request went over it");
    {
        let status = rig.status.borrow();
        assert_eq!(status.held, Some(Held::Spent));
        let account = status.account.expect("it has a budget");
        assert_eq!((account.spent, account.remaining()), (1200, 0));
    }
    let alarms = rig.append(10, 2).await;
    sleep(SECOND * 2).await;
    assert!(alarms.is_subset(&rig.server.ids()) && rig.server.ids().len() == 32);
    // The rest is sent at midnight, sixteen hours later.
    sleep(SECOND * 15 * 3600).await;
    assert_eq!(rig.server.ids().len(), 32);
    sleep(SECOND * 3600).await;
    rig.drained().await;
    rig.has_all_but(&[]);
    assert_eq!(rig.status.borrow().held, None);
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_no_budget_back() {
    let mut rig = Rig::new(budget(1000));
    rig.server.lock().wire_bytes_each = 999;
    rig.append(10, 0).await;
    rig.drained().await;
    rig.append(10, 0).await;
    rig.drained().await;
    let folder = rig.end().await;
    let mut rig = Rig::on(folder, budget(1000), NOW + 60_000);
    rig.next_id = 20;
    rig.append(10, 1).await;
    sleep(SECOND * 60).await;
    assert_eq!(rig.server.ids().len(), 1, "the alarm alone");
    assert_eq!(rig.status.borrow().account.map(|account| account.spent), Some(1998));
    assert_eq!(rig.wire.total(), 0, "alarms cost nothing here");
}

#[tokio::test(start_paused = true)]
async fn in_quiet_hours_only_alarms_leave_and_afterwards_everything() {
    let hours = crate::domain::policy::budget::QuietHours { from_min: 7 * 60, to_min: 9 * 60 };
    let mut rig = Rig::new(Pace { quiet_hours: Some(hours), ..Pace::default() });
    rig.append(10, 1).await;
    sleep(SECOND * 3599).await;
    assert_eq!((rig.server.ids().len(), rig.status.borrow().held), (1, Some(Held::QuietHours)));
    // Nothing new arrives: the end of the quiet hours is reason enough.
    sleep(SECOND * 5).await;
    rig.has_all_but(&[]);
    assert_eq!(rig.status.borrow().held, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_search_loses_nothing() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|asked| {
        let bad = asked.ids.iter().any(|id| id % 100 == 7);
        if bad { Reply::rejects(Rejection::Content) } else { Reply::takes(SECOND / 2) }
    });
    rig.append(2000, 0).await;
    rig.until(|log| log.ledger.quarantined > 2).await;
    let server = rig.server.clone();
    let folder = rig.end().await;
    let had = server.ids();
    let mut rig = Rig::on(folder, Pace::default(), NOW + 3_600_000);
    rig.next_id = 2000;
    poison(&rig.server, |id| id % 100 == 7);
    let log = rig.drained().await;
    assert_eq!(log.ledger.quarantined, 20);
    let all: BTreeSet<i64> = had.union(&rig.server.ids()).copied().collect();
    assert_eq!(all, (0..2000).filter(|id| id % 100 != 7).collect());
}
