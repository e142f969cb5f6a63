//! The stack around a scripted sink, on stepped time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::clock::Clock;
use crate::domain::batch::{Batch, Lane};
use crate::domain::breaker::{Policy, State};
use crate::upload::SinkStatus;

const LIMIT: Duration = Duration::from_secs(5);

/// Answers as told, in order; when out of answers it hangs.
#[derive(Clone, Debug, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Result<Receipt, Refusal>>>>,
    calls: Arc<Mutex<u32>>,
}

impl Service<Offer> for Scripted {
    type Response = Receipt;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Offer) -> Self::Future {
        *self.calls.lock().expect("no panic") += 1;
        let answer = self.answers.lock().expect("no panic").pop_front();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

struct Rig {
    sink: Scripted,
    stack: Stack<Scripted>,
    status: watch::Receiver<SinkStatus>,
}

impl Rig {
    fn new(retries: u32, answers: impl IntoIterator<Item = Result<Receipt, Refusal>>) -> Self {
        let sink = Scripted::default();
        sink.answers.lock().expect("no panic").extend(answers);
        let (sender, status) = watch::channel(SinkStatus::new("s", "http://s"));
        let clock = Clock::simulated("boot", 0);
        let breaker = SharedBreaker::new(Policy::default(), 1, clock, sender);
        Self { stack: stack(sink.clone(), LIMIT, retries, breaker, 1), sink, status }
    }

    /// A rig whose breaker has just opened.
    async fn open(answers: impl IntoIterator<Item = Result<Receipt, Refusal>>) -> Self {
        let failures = [down(), down(), down()];
        let mut rig = Self::new(0, failures.into_iter().chain(answers));
        for _ in 0..3 {
            rig.send().await.expect_err("down");
        }
        assert_eq!(rig.breaker(), "open");
        rig
    }

    async fn send(&mut self) -> Result<Receipt, Refusal> {
        self.stack.ready().await?.call(offer()).await
    }

    fn calls(&self) -> u32 {
        *self.sink.calls.lock().expect("no panic")
    }

    fn breaker(&self) -> &'static str {
        self.status.borrow().breaker.name()
    }
}

fn offer() -> Offer {
    let batch = Batch {
        device: "d".into(),
        epoch: 1,
        lane: Lane::Live,
        sensors: vec![],
        boots: vec![],
        segments: vec![],
        events: vec![],
    };
    Offer(Arc::new(batch))
}

fn accepted() -> Result<Receipt, Refusal> {
    Ok(Receipt { bytes: 1 })
}

fn down() -> Result<Receipt, Refusal> {
    Err(Refusal::Retry { cause: Cause::LinkDown, after: None, detail: "down".into() })
}

fn rejected() -> Result<Receipt, Refusal> {
    Err(Refusal::Rejected { detail: "no".into() })
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_tried_again_after_a_wait() {
    let mut rig = Rig::new(2, [down(), accepted()]);
    let before = Instant::now();
    assert_eq!(rig.send().await, accepted());
    assert_eq!(rig.calls(), 2);
    assert!(before.elapsed() > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_give_the_refusal_back() {
    let mut rig = Rig::new(1, [down(), down(), accepted()]);
    assert_eq!(rig.send().await, down());
    assert_eq!(rig.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_is_neither_tried_again_nor_a_failure_of_the_sink() {
    let mut rig = Rig::new(5, [rejected(), rejected(), rejected(), rejected()]);
    for sent in 1..=4 {
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
    let before = (rig.calls(), Instant::now());
    assert_eq!(rig.send().await, accepted());
    assert_eq!(rig.calls(), before.0 + 1);
    assert!(before.1.elapsed() > Duration::ZERO, "the wait came before the call");
    assert_eq!(rig.breaker(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_gives_its_place_to_the_next() {
    let mut rig = Rig::open([]).await;
    // The probe hangs and is dropped midway.
    rig.stack.ready().await.expect("the probe's turn");
    assert!(matches!(rig.status.borrow().breaker, State::HalfOpen { probing: true, .. }));
    drop(rig.stack.call(offer()));
    assert!(matches!(rig.status.borrow().breaker, State::HalfOpen { probing: false, .. }));
    rig.sink.answers.lock().expect("no panic").push_back(accepted());
    assert_eq!(rig.send().await, accepted());
}

#[tokio::test(start_paused = true)]
async fn leave_that_is_never_used_is_given_back() {
    let mut rig = Rig::open([]).await;
    rig.stack.ready().await.expect("the probe's turn");
    drop(rig.stack);
    assert!(matches!(rig.status.borrow().breaker, State::HalfOpen { probing: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn the_server_s_own_wait_is_honoured() {
    let after = Some(Duration::from_secs(120));
    let busy = Err(Refusal::Retry { cause: Cause::ServerBusy, after, detail: "busy".into() });
    let mut rig = Rig::new(5, [busy.clone(), accepted()]);
    let before = Instant::now();
    assert_eq!(rig.send().await, busy, "not tried again behind the server's back");
    assert_eq!(rig.send().await, accepted());
    assert!(before.elapsed() >= Duration::from_secs(120));
}
