//! The stack around scripted sinks, with a paused clock.

mod with_log;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio::time::{Instant, advance};
use tower::{Service, ServiceExt};

use super::breaker::{Context as Breakers, Recoveries};
use super::*;
use crate::clock::Clock;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::event_log::{self, Mailbox};
use crate::test_kit::batches::batch;
use crate::upload::{Attempt, Offer, Receipt, Rejection, SinkRefusal, SinkStatus};

const LIMIT: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);
/// The bytes on the wire that each call takes.
const CALL_BYTES: u64 = 1000;

pub(in crate::upload) type Answer = Result<Receipt, SinkRefusal>;

/// A sink that gives the scripted answers in order and repeats the last one. Without an answer it hangs.
#[derive(Clone, Debug, Default)]
pub(in crate::upload) struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    offers: Arc<Mutex<Vec<(Instant, Offer)>>>,
    wire: Wire,
}

impl Scripted {
    pub(in crate::upload) fn turn_to(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.answers.lock().expect("no panic") = answers.into_iter().collect();
    }

    pub(in crate::upload) fn calls(&self) -> usize {
        self.offers.lock().expect("no panic").len()
    }

    fn times(&self) -> Vec<Instant> {
        self.offers.lock().expect("no panic").iter().map(|(at, _)| *at).collect()
    }

    pub(in crate::upload) fn last_offer(&self) -> Offer {
        self.offers.lock().expect("no panic").last().expect("it was called").1.clone()
    }
}

impl Service<Offer> for Scripted {
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkRefusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        self.offers.lock().expect("no panic").push((Instant::now(), offer));
        self.wire.add(CALL_BYTES);
        let mut answers = self.answers.lock().expect("no panic");
        let answer = match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

#[derive(Debug)]
pub(in crate::upload) struct Rig {
    sinks: BTreeMap<String, Scripted>,
    pub(in crate::upload) list: watch::Sender<Vec<Endpoint>>,
    pub(in crate::upload) stack: Stack,
    pub(in crate::upload) status: watch::Receiver<SinkStatus>,
    /// Keeps the log's channel open; no test reads from it.
    _log: Mailbox,
}

/// The parameters of a `Rig`.
#[derive(Debug, Default)]
pub(in crate::upload) struct Setup {
    pub(in crate::upload) retries: u32,
    pub(in crate::upload) rate_max: Option<u64>,
}

impl Setup {
    /// Creates a rig that lists these hosts.
    pub(in crate::upload) fn rig(self, endpoints: &[(u16, &str)]) -> Rig {
        let (log, mailbox) = event_log::channel();
        let (sender, status) = watch::channel(SinkStatus::new("s", "http://s"));
        let context = breakers(sender, log.appender(), Clock::simulated("boot", 0));
        let wire = Wire::default();
        let hosts = ["a", "b", "c"].map(|host| (host.to_owned(), scripted(&wire)));
        let sinks = BTreeMap::from(hosts);
        let (list, known) = watch::channel(endpoints_of(endpoints));
        let endpoints = Endpoints::new(known, context, connect(&sinks));
        let stack = stack(endpoints, self.retries, self.rate_max, &wire);
        Rig { sinks, list, stack, status, _log: mailbox }
    }
}

fn scripted(wire: &Wire) -> Scripted {
    Scripted { wire: wire.clone(), ..Scripted::default() }
}

pub(in crate::upload) fn endpoints_of(hosts: &[(u16, &str)]) -> Vec<Endpoint> {
    let one = |(priority, host): &(u16, &str)| Endpoint {
        priority: *priority,
        weight: 1,
        url: format!("http://{host}"),
    };
    hosts.iter().map(one).collect()
}

fn connect(
    sinks: &BTreeMap<String, Scripted>,
) -> impl Fn(&Endpoint, SharedBreaker) -> AnySink + Send + Sync + 'static {
    let sinks = Mutex::new(sinks.clone());
    move |endpoint, breaker| {
        let host = endpoint.url.trim_start_matches("http://");
        let sink = sinks.lock().expect("no panic")[host].clone();
        at_endpoint(AnySink::new(sink), breaker, LIMIT)
    }
}

fn breakers(
    status: watch::Sender<SinkStatus>,
    appender: event_log::Appender,
    clock: Clock,
) -> Breakers {
    Breakers {
        device: "d".into(),
        sink: "s".into(),
        clock,
        status,
        appender,
        recoveries: Recoveries::default(),
    }
}

impl Rig {
    /// A rig with one endpoint.
    fn new(retries: u32, answers: impl IntoIterator<Item = Answer>) -> Self {
        let rig = Setup { retries, ..Setup::default() }.rig(&[(0, "a")]);
        rig.sink("a").turn_to(answers);
        rig
    }

    /// A rig whose breaker has just opened and whose sink will give `answers`.
    async fn open(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut rig = Self::new(0, [down()]);
        for _ in 0..3 {
            rig.send().await.expect_err("down");
        }
        assert_eq!((rig.breaker(), rig.calls()), ("open", 3));
        rig.sink("a").turn_to(answers);
        rig
    }

    pub(in crate::upload) fn sink(&self, host: &str) -> &Scripted {
        &self.sinks[host]
    }

    pub(in crate::upload) async fn send(&mut self) -> Answer {
        self.stack.ready().await?.call(offer()).await
    }

    fn calls(&self) -> usize {
        self.sink("a").calls()
    }

    pub(in crate::upload) fn breaker(&self) -> &'static str {
        self.status.borrow().breaker.name()
    }

    fn is_probing(&self) -> Option<bool> {
        match self.status.borrow().breaker {
            BreakerState::HalfOpen { probing, .. } => Some(probing),
            _ => None,
        }
    }
}

fn offer() -> Offer {
    Offer(Arc::new(batch(vec![], vec![])))
}

pub(in crate::upload) fn accepted() -> Answer {
    Ok(Receipt { bytes: 1 })
}

pub(in crate::upload) fn down() -> Answer {
    Err(SinkRefusal::Retry { cause: Cause::LinkDown, after: None, reason: "down".into() })
}

fn busy_for(seconds: u64) -> Answer {
    let after = Some(Duration::from_secs(seconds));
    Err(SinkRefusal::Retry { cause: Cause::ServerBusy, after, reason: "busy".into() })
}

fn rejected() -> Answer {
    Err(SinkRefusal::Rejected { what: Rejection::Content, reason: "no".into() })
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_tried_again_after_a_wait() {
    let mut rig = Rig::new(2, [down(), accepted()]);
    let before = Instant::now();
    assert_eq!(rig.send().await, accepted());
    assert_eq!(rig.calls(), 2);
    assert!(before.elapsed() > Duration::ZERO && before.elapsed() <= Duration::from_millis(501));
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_give_the_refusal_back() {
    let mut rig = Rig::new(1, [down(), down(), accepted()]);
    assert_eq!(rig.send().await, down());
    assert_eq!(rig.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_neither_retries_nor_trips() {
    let mut rig = Rig::new(5, [rejected()]);
    for sent in 1..=20 {
        assert_eq!(rig.send().await, rejected());
        assert_eq!((rig.calls(), rig.breaker()), (sent, "closed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_costs_one_deadline() {
    let mut rig = Rig::new(0, []);
    let before = Instant::now();
    let refusal = rig.send().await.expect_err("too late");
    assert_eq!(before.elapsed(), LIMIT);
    assert_eq!(refusal.to_string(), "no answer within 5s");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_pends_and_calls_nothing() {
    let mut rig = Rig::open([accepted()]).await;
    let BreakerState::Open { until, .. } = rig.status.borrow().breaker else {
        panic!("it is open")
    };
    // It pends to the last milliseconds of its wait.
    let (opened, wait) = (Instant::now(), until.saturating_sub(rig.stack_now()));
    let almost = wait.saturating_sub(Duration::from_millis(2));
    tokio::time::timeout(almost, rig.stack.ready()).await.expect_err("it pends");
    assert_eq!(rig.calls(), 3);
    assert_eq!(rig.send().await, accepted());
    assert_eq!((rig.calls(), rig.breaker()), (4, "closed"));
    assert!(opened.elapsed() >= wait);
}

impl Rig {
    fn stack_now(&self) -> Duration {
        // The rig's clock started together with tokio's.
        self.sink("a").times()[0].elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_reopens() {
    let mut rig = Rig::open([]).await;
    // The probe hangs and is dropped midway.
    rig.stack.ready().await.expect("the probe's turn");
    assert_eq!(rig.is_probing(), Some(true));
    let mut probe = rig.stack.call(offer());
    assert!(tokio::time::timeout(LIMIT / 2, &mut probe).await.is_err());
    assert_eq!((rig.calls(), rig.is_probing()), (4, Some(true)));
    drop(probe);
    assert_eq!(rig.is_probing(), Some(false), "its place is given back");
    rig.sink("a").turn_to([accepted()]);
    assert_eq!(rig.send().await, accepted());
}

#[tokio::test(start_paused = true)]
async fn leave_that_is_never_used_is_given_back() {
    let mut rig = Rig::open([]).await;
    rig.stack.ready().await.expect("the probe's turn");
    let (status, list) = (rig.status.clone(), rig.list.clone());
    drop(rig);
    let breaker = status.borrow().breaker;
    assert!(matches!(breaker, BreakerState::HalfOpen { probing: false, .. }), "{breaker:?}");
    drop(list);
}

#[tokio::test(start_paused = true)]
async fn the_server_s_own_wait_is_honoured() {
    let mut rig = Rig::new(5, [busy_for(120), accepted()]);
    let before = Instant::now();
    assert_eq!(rig.send().await, busy_for(120), "not tried again behind the server's back");
    assert_eq!(rig.send().await, accepted());
    assert!(before.elapsed() >= Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn an_offer_gives_way_when_its_breaker_opens_and_a_probe_carries_what_is_urgent() {
    let mut rig = Rig::new(10, [down()]);
    assert_eq!(rig.send().await, down());
    assert_eq!((rig.calls(), rig.breaker()), (3, "open"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_sees_at_most_300_requests_a_day() {
    for (retries, answers) in
        [(0, vec![down()]), (2, vec![down()]), (10, vec![down()]), (2, vec![])]
    {
        let mut rig = Rig::new(retries, answers);
        let started = Instant::now();
        while started.elapsed() < DAY {
            rig.send().await.expect_err("dead");
        }
        assert!(rig.calls() <= 300, "{} requests with {retries} retries", rig.calls());
        println!("{} requests with {retries} retries", rig.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn requests_after_a_recovery_come_closer_and_are_free_after_four() {
    let mut rig = Rig::open([accepted()]).await;
    for _ in 0..7 {
        rig.send().await.expect("accepted");
    }
    let times = rig.sink("a").times();
    let gaps: Vec<Duration> = times[3..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Timers fire on the next whole millisecond.
    for (gap, ceiling) in gaps.iter().zip([102, 52, 27, 14]) {
        assert!(*gap > Duration::ZERO && gap.as_millis() < ceiling, "{gaps:?}");
    }
    assert_eq!(gaps[4..], [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_failed_has_no_ramp() {
    let mut rig = Rig::new(0, [accepted()]);
    let before = Instant::now();
    for _ in 0..10 {
        rig.send().await.expect("accepted");
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_than_allowed_are_on_the_wire_repeats_included() {
    let mut rig = Setup { retries: 2, rate_max: Some(100) }.rig(&[(0, "a")]);
    // An attempt that fails and is repeated counts as well.
    rig.sink("a").turn_to([accepted(), down(), accepted()]);
    let (hour, started) = (Duration::from_secs(3600), Instant::now());
    let mut polls = 0;
    while started.elapsed() < hour && rig.calls() < 1000 {
        std::future::poll_fn(|context| {
            polls += 1;
            rig.stack.poll_ready(context)
        })
        .await
        .expect("ready");
        rig.stack.call(offer()).await.expect("accepted");
    }
    let bytes = rig.calls() as u64 * CALL_BYTES;
    assert!(bytes <= 360_000 + 2 * CALL_BYTES && bytes > 350_000, "{bytes} bytes in an hour");
    assert!(polls <= 3 * rig.calls(), "{polls} polls for {} requests", rig.calls());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_is_charged_all_the_same() {
    let mut rig = Setup { retries: 0, rate_max: Some(100) }.rig(&[(0, "a")]);
    rig.stack.ready().await.expect("no debt is left");
    // The server never answers: the request is started and dropped.
    drop(tokio::time::timeout(Duration::from_millis(1), rig.stack.call(offer())).await);
    advance(Duration::from_millis(999)).await;
    let before = Instant::now();
    // A wait that is cancelled and started again does not begin from zero.
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_secs(2), rig.stack.ready())
            .await
            .expect_err("a debt is left");
    }
    rig.stack.ready().await.expect("paid back");
    let waited = before.elapsed();
    assert!(waited >= Duration::from_secs(9) && waited < Duration::from_millis(9010), "{waited:?}");
}
