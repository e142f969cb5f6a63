//! The breaker as a tower layer: an open breaker is *not ready*, so nothing is encoded or sent.
//!
//! Decisions are [`domain::breaker`](crate::domain::breaker)'s; this file keeps time, wakes who
//! waits, tells the status, and sees to it that a probe dropped midway gives its place back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::{Offer, Receipt, Refusal, SinkStatus};
use crate::clock::Clock;
use crate::domain::breaker::{Breaker, Cause, Leave, Policy, State};
use crate::telemetry::events::{BreakerMoved, Report, SinkMisconfigured};

/// The breaker of one sink, shared by all clones of its service.
#[derive(Clone, Debug)]
pub struct SharedBreaker {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
    status: watch::Sender<SinkStatus>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    rng: fastrand::Rng,
}

impl SharedBreaker {
    pub fn new(policy: Policy, seed: u64, clock: Clock, status: watch::Sender<SinkStatus>) -> Self {
        let inner = Inner { breaker: Breaker::new(policy), rng: fastrand::Rng::with_seed(seed) };
        Self { inner: Arc::new(Mutex::new(inner)), clock, status }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single assignment: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Leave {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        let leave = inner.breaker.ask(self.clock.now());
        self.publish(before, inner.breaker.state(), "");
        leave
    }

    fn settle(&self, result: &Result<Receipt, Refusal>) {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        let detail = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        match result {
            // A rejected batch is an answer: the server is there and working.
            Ok(_) | Err(Refusal::Rejected { .. }) => inner.breaker.succeeded(),
            Err(Refusal::Retry { cause, after, .. }) => {
                let Inner { breaker, rng } = &mut *inner;
                breaker.failed(self.clock.now(), *cause, *after, rng);
            }
        }
        self.status.send_modify(|status| {
            status.requests += 1;
            status.failures += u64::from(result.is_err());
            status.last_error = result.as_ref().err().map(ToString::to_string);
        });
        self.publish(before, inner.breaker.state(), &detail);
    }

    fn cancelled(&self) {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        inner.breaker.cancelled();
        self.publish(before, inner.breaker.state(), "");
    }

    fn publish(&self, before: State, after: State, detail: &str) {
        if before == after {
            return;
        }
        let retry_at = match after {
            State::Open { until, .. } => Some(until),
            _ => None,
        };
        self.status.send_modify(|status| {
            status.breaker = after;
            status.retry_at = retry_at;
        });
        if before.name() != after.name() {
            self.tell(before, after, retry_at, detail);
        }
    }

    fn tell(&self, before: State, after: State, retry_at: Option<Duration>, detail: &str) {
        let sink = self.status.borrow().name.clone();
        let retry_in = retry_at.map(|at| at.saturating_sub(self.clock.now()));
        let news = before.cause() != Some(Cause::Misconfigured);
        if after.cause() == Some(Cause::Misconfigured)
            && news
            && matches!(after, State::Open { .. })
        {
            SinkMisconfigured { sink: &sink, detail }.report();
        } else {
            BreakerMoved { sink: &sink, to: &after, retry_in, detail }.report();
        }
    }
}

/// Guards `inner` with a breaker.
#[derive(Debug)]
pub struct BreakerService<S> {
    inner: S,
    breaker: SharedBreaker,
    waiting: Option<Pin<Box<Sleep>>>,
    leave: Option<LeaveHeld>,
}

impl<S> BreakerService<S> {
    pub fn new(inner: S, breaker: SharedBreaker) -> Self {
        Self { inner, breaker, waiting: None, leave: None }
    }
}

/// A clone has to ask for leave of its own.
impl<S: Clone> Clone for BreakerService<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.breaker.clone())
    }
}

/// Leave to send, not yet used up. Dropped unused, it is given back.
#[derive(Debug)]
struct LeaveHeld {
    breaker: SharedBreaker,
    open: bool,
}

impl LeaveHeld {
    fn settle(mut self, result: &Result<Receipt, Refusal>) {
        self.open = false;
        self.breaker.settle(result);
    }
}

impl Drop for LeaveHeld {
    fn drop(&mut self) {
        if self.open {
            self.breaker.cancelled();
        }
    }
}

impl<S> Service<Offer> for BreakerService<S>
where
    S: Service<Offer, Response = Receipt, Error = Refusal>,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        while self.leave.is_none() {
            if let Some(wait) = &mut self.waiting {
                std::task::ready!(wait.as_mut().poll(context));
                self.waiting = None;
            }
            match self.breaker.ask() {
                Leave::Send => {
                    self.leave = Some(LeaveHeld { breaker: self.breaker.clone(), open: true });
                }
                Leave::WaitUntil(until) => {
                    let wait = until.saturating_sub(self.breaker.clock.now());
                    self.waiting = Some(Box::pin(sleep_until(Instant::now() + wait)));
                }
                // One uploader holds one batch, so a probe under way is our own; should another
                // clone hold it, look again soon.
                Leave::WaitForProbe => {
                    let soon = Instant::now() + Duration::from_secs(1);
                    self.waiting = Some(Box::pin(sleep_until(soon)));
                }
            }
        }
        self.inner.poll_ready(context)
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let leave = self.leave.take().expect("`poll_ready` came before `call`");
        let sent = self.inner.call(offer);
        Box::pin(async move {
            let result = sent.await;
            leave.settle(&result);
            result
        })
    }
}
