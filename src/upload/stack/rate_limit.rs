//! Limits how fast a sink is sent to: by a rate in bytes per second, and by a ramp after each recovery.
//!
//! All bytes seen on the wire count, in both directions, with repeats and handshakes. A request may go when
//! the bytes of the requests before it have been paid back at the allowed rate.

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

/// Delays requests to `inner`. Clones share one account of the bytes sent.
#[derive(Debug)]
pub struct RateLimit<S> {
    inner: S,
    pace: Pace,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> RateLimit<S> {
    /// Creates the layer. `rate_max` is in bytes per second; `None` means no limit.
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
    /// The bytes on the wire that the bucket has been charged for.
    counted: u64,
    ramp: Ramp,
    /// The count of recoveries that the ramp has taken into account.
    recoveries: u64,
    rng: fastrand::Rng,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, PaceState> {
        // Every change is a single assignment, so a panic elsewhere leaves no inconsistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that the next request still has to wait.
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

    /// Notes the result of a request. The ramp begins if the request has closed a breaker.
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
