//! How fast a sink may be sent to: so many bytes per second, and gently after a recovery.
//!
//! What counts is what was seen on the wire, whoever caused it: repeats, handshakes and answers
//! included. A request may go when all of that is paid back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::breaker::Context;
use crate::domain::policy::ramp::Ramp;
use crate::domain::policy::token_bucket::TokenBucket;
use crate::upload::{Attempt, Offer, Receipt, SinkRefusal, Wire};

/// Clones share what they may send.
#[derive(Debug)]
pub struct RateLimit<S> {
    inner: S,
    pace: Pace,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> RateLimit<S> {
    /// `rate_max` is in bytes per second.
    pub fn new(inner: S, rate_max: Option<u64>, wire: Wire, context: &Context) -> Self {
        let state = PaceState {
            bucket: rate_max.map(|rate| TokenBucket::new(rate, context.clock.now())),
            counted: wire.total(),
            ramp: Ramp::default(),
            recoveries: context.recoveries.count(),
            rng: context.rng("ramp"),
        };
        let state = Arc::new(Mutex::new(state));
        Self { inner, pace: Pace { state, wire, context: context.clone() }, waiting: None }
    }
}

impl<S: Clone> Clone for RateLimit<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), pace: self.pace.clone(), waiting: None }
    }
}

#[derive(Clone, Debug)]
struct Pace {
    state: Arc<Mutex<PaceState>>,
    wire: Wire,
    context: Context,
}

#[derive(Debug)]
struct PaceState {
    bucket: Option<TokenBucket>,
    /// The bytes on the wire that the bucket was charged for.
    counted: u64,
    ramp: Ramp,
    /// Those that the ramp knows of.
    recoveries: u64,
    rng: fastrand::Rng,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, PaceState> {
        // Every change is a single assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the next request has to wait.
    fn wait(&self) -> Duration {
        let (now, total) = (self.context.clock.now(), self.wire.total());
        let mut state = self.lock();
        let sent = total.saturating_sub(state.counted);
        state.counted = total;
        let ramp = state.ramp.ready_at();
        let paid = state.bucket.as_mut().map(|bucket| {
            bucket.spend(sent, now);
            bucket.ready_at()
        });
        ramp.max(paid.unwrap_or_default()).saturating_sub(now)
    }

    /// The request has been answered; if that closed a breaker, the ramp begins.
    fn record(&self, result: &Result<Receipt, SinkRefusal>) {
        let (now, recoveries) = (self.context.clock.now(), self.context.recoveries.count());
        let PaceState { ramp, recoveries: known, rng, .. } = &mut *self.lock();
        if *known != recoveries {
            *known = recoveries;
            ramp.begin(now, rng);
        } else if !matches!(result, Err(SinkRefusal::Retry { .. })) {
            ramp.succeeded(now, rng);
        }
    }
}

impl<S> Service<Offer> for RateLimit<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), SinkRefusal>> {
        loop {
            if let Some(wait) = &mut self.waiting {
                ready!(wait.as_mut().poll(context));
                self.waiting = None;
            }
            match self.pace.wait() {
                Duration::ZERO => return self.inner.poll_ready(context),
                wait => self.waiting = Some(Box::pin(sleep_until(Instant::now() + wait))),
            }
        }
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let (sent, pace) = (self.inner.call(offer), self.pace.clone());
        Box::pin(async move {
            let result = sent.await;
            pace.record(&result);
            result
        })
    }
}
