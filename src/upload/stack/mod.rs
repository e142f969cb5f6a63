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

use std::time::Duration;

use tower::ServiceBuilder;
use tower::retry::Retry;

use super::{AnySink, Wire};
use crate::clock::Clock;
use breaker::{BreakerService, SharedBreaker};
use deadline::Deadline;
use endpoints::Endpoints;
use rate_limit::RateLimit;
use retry::BoundedRetry;
use trust::Trusting;

pub mod breaker;
mod deadline;
pub(crate) mod endpoints;
mod rate_limit;
mod retry;
mod trust;

pub type Stack = RateLimit<Retry<BoundedRetry, Endpoints>>;

/// Puts the layers of one endpoint around its sink.
pub fn at_endpoint(sink: AnySink, breaker: SharedBreaker, attempt_timeout: Duration) -> AnySink {
    let layers = ServiceBuilder::new()
        .layer_fn(|inner| BreakerService::new(inner, breaker.clone()))
        .layer_fn(|inner| Trusting::new(inner, Clock::entropy()))
        .layer_fn(|inner| Deadline::new(inner, attempt_timeout));
    AnySink::new(layers.service(sink))
}

/// Puts the layers of a sink around its endpoints.
pub fn stack(endpoints: Endpoints, retries: u32, rate_max: Option<u64>, wire: &Wire) -> Stack {
    let context = endpoints.context().clone();
    ServiceBuilder::new()
        .layer_fn(|inner| RateLimit::new(inner, rate_max, wire.clone(), &context))
        .layer_fn(|inner| Retry::new(BoundedRetry::new(retries, context.status.subscribe()), inner))
        .service(endpoints)
}

#[cfg(test)]
pub(crate) mod tests;
