//! The layers between the uploader and a sink, outermost first:
//!
//! 1. **retry**: outside the breaker, so that each attempt counts there and an open breaker makes
//!    the next attempt wait instead of fail.
//! 2. **breaker**: outside the deadline, so that a request that hangs is a failure like any other.
//! 3. **deadline**: innermost, so that it bounds one attempt and not the waits between them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower::retry::{Policy as RetryPolicy, Retry};
use tower::{Service, ServiceBuilder};

use super::breaker::{BreakerService, SharedBreaker};
use super::{Offer, Receipt, Refusal};
use crate::domain::backoff::Backoff;
use crate::domain::breaker::Cause;

pub type Stack<S> = Retry<Again, BreakerService<Deadline<S>>>;

/// Puts the layers around a sink.
pub fn stack<S>(
    sink: S,
    attempt_timeout: Duration,
    retries: u32,
    breaker: SharedBreaker,
    seed: u64,
) -> Stack<S>
where
    S: Service<Offer, Response = Receipt, Error = Refusal> + Clone,
    S::Future: Send + 'static,
{
    ServiceBuilder::new()
        .layer(tower::retry::RetryLayer::new(Again::new(retries, seed)))
        .layer_fn(|inner| BreakerService::new(inner, breaker.clone()))
        .layer_fn(|inner| Deadline { inner, limit: attempt_timeout })
        .service(sink)
}

/// Tries the same offer again, a few times, with full jitter between.
///
/// When they run out the refusal goes up, and the readings are where they always were.
#[derive(Clone, Debug)]
pub struct Again {
    left: u32,
    attempt: u32,
    rng: fastrand::Rng,
}

const BETWEEN: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 2.0, max: Duration::from_secs(10) };

impl Again {
    fn new(retries: u32, seed: u64) -> Self {
        Self { left: retries, attempt: 0, rng: fastrand::Rng::with_seed(seed) }
    }
}

impl RetryPolicy<Offer, Receipt, Refusal> for Again {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        _: &mut Offer,
        result: &mut Result<Receipt, Refusal>,
    ) -> Option<Self::Future> {
        let Err(Refusal::Retry { cause, after: None, .. }) = result else { return None };
        if self.left == 0 || *cause == Cause::Misconfigured {
            return None;
        }
        self.left -= 1;
        let wait = BETWEEN.wait(self.attempt, &mut self.rng);
        self.attempt += 1;
        Some(Box::pin(sleep(wait)))
    }

    fn clone_request(&mut self, offer: &Offer) -> Option<Offer> {
        // The clone that retries inherits the generator: each offer must draw its own waits.
        self.rng = self.rng.fork();
        Some(offer.clone())
    }
}

/// Ends an attempt that takes too long.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<Offer> for Deadline<S>
where
    S: Service<Offer, Response = Receipt, Error = Refusal>,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let (attempt, limit) = (self.inner.call(offer), self.limit);
        Box::pin(
            async move { timeout(limit, attempt).await.unwrap_or_else(|_| Err(too_late(limit))) },
        )
    }
}

fn too_late(limit: Duration) -> Refusal {
    let detail = format!("no answer within {}", humantime::format_duration(limit));
    Refusal::Retry { cause: Cause::LinkDown, after: None, detail }
}

#[cfg(test)]
mod tests;
