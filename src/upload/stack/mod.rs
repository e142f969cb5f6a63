//! The layers between the uploader and a sink, outermost first:
//!
//! 1. **rate limit**: outside the retry, so that an offer waits for what all attempts of the one
//!    before it took, and a repeat does not wait for its own first attempt.
//! 2. **retry**: outside the endpoints, so that each attempt may go to another one and counts with
//!    the breaker of its own. It does not wait: an endpoint that has just failed is not ready for a
//!    while, so the next attempt goes elsewhere at once or pends.
//! 3. **endpoints**: outside the breakers, so that one that is open is passed over.
//! 4. **breaker**, one per endpoint: outside the deadline, so that a request that hangs is a failure
//!    like any other.
//! 5. **trust**: inside the breaker, so that a server which refuses everything opens it.
//! 6. **deadline**: innermost, so that it bounds one attempt and not the waits between them.
//!
//! A layer of one endpoint is a line in [`at_endpoint`], one of the whole sink a line in [`stack`].

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tower::retry::{Policy as RetryPolicy, Retry};
use tower::{Service, ServiceBuilder};

use super::sinks::AnySink;
use super::{Attempt, Offer, Receipt, Refusal, SinkStatus, Wire};
use crate::clock::Clock;
use crate::domain::policy::breaker::Cause;
use breaker::{BreakerService, SharedBreaker};
use endpoints::Endpoints;
use rate_limit::RateLimit;
use trust::Trusting;

pub mod breaker;
pub(crate) mod endpoints;
mod rate_limit;
mod trust;

pub type Stack = RateLimit<Retry<Again, Endpoints>>;

/// Puts the layers of one endpoint around its sink.
pub fn at_endpoint(sink: AnySink, breaker: SharedBreaker, attempt_timeout: Duration) -> AnySink {
    let layers = ServiceBuilder::new()
        .layer_fn(|inner| BreakerService::new(inner, breaker.clone()))
        .layer_fn(|inner| Trusting::new(inner, Clock::entropy()))
        .layer_fn(|inner| Deadline { inner, limit: attempt_timeout });
    AnySink::new(layers.service(sink))
}

/// Puts the layers of a sink around its endpoints.
pub fn stack(endpoints: Endpoints, retries: u32, rate_max: Option<u64>, wire: &Wire) -> Stack {
    let context = endpoints.context().clone();
    ServiceBuilder::new()
        .layer_fn(|inner| RateLimit::new(inner, rate_max, wire.clone(), &context))
        .layer_fn(|inner| Retry::new(Again::new(retries, context.status.subscribe()), inner))
        .service(endpoints)
}

/// Tries the same offer again, a few times, as long as some endpoint is thought to work.
///
/// When they run out, or all breakers are open, the refusal goes up, and the readings are where they
/// always were: by the time of the next probe there may be something more urgent to send.
#[derive(Clone, Debug)]
pub struct Again {
    left: u32,
    status: watch::Receiver<SinkStatus>,
}

impl Again {
    fn new(retries: u32, status: watch::Receiver<SinkStatus>) -> Self {
        Self { left: retries, status }
    }
}

impl RetryPolicy<Offer, Receipt, Refusal> for Again {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Offer,
        result: &mut Result<Receipt, Refusal>,
    ) -> Option<Self::Future> {
        let again = matches!(result, Err(Refusal::Retry { .. }))
            && self.left > 0
            && self.status.borrow().breaker.is_closed();
        again.then(|| {
            self.left -= 1;
            std::future::ready(())
        })
    }

    fn clone_request(&mut self, offer: &Offer) -> Option<Offer> {
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
    type Future = Attempt;

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
    Refusal::retry(Cause::LinkDown, detail)
}

#[cfg(test)]
pub(crate) mod tests;
