//! The tower layers between the uploader and a sink, outermost first:
//!
//! 1. **rate limit** is outside the retry: an offer waits for the bytes of all attempts of the one before
//!    it, and a repeat does not wait for its own first attempt.
//! 2. **retry** is outside the endpoints: each attempt may go to another endpoint and counts at that
//!    endpoint's breaker. The layer does not wait. An endpoint that has just failed is not ready for a
//!    while, so the next attempt goes elsewhere at once or pends.
//! 3. **endpoints** is outside the breakers: an endpoint whose breaker is open is passed over.
//! 4. **breaker**, one per endpoint, is outside the deadline: a request that hangs counts as a failure.
//! 5. **trust** is inside the breaker: a server that refuses everything opens it.
//! 6. **deadline** is innermost: it bounds one attempt and not the waits between attempts.
//!
//! A layer of one endpoint is a line in [`at_endpoint`]; a layer of the whole sink is a line in [`stack`].

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

/// Puts the layers of one endpoint around its sink. `attempt_timeout` bounds each attempt.
pub fn at_endpoint(sink: AnySink, breaker: SharedBreaker, attempt_timeout: Duration) -> AnySink {
    let layers = ServiceBuilder::new()
        .layer_fn(|inner| BreakerService::new(inner, breaker.clone()))
        .layer_fn(|inner| Trusting::new(inner, Clock::entropy()))
        .layer_fn(|inner| Deadline::new(inner, attempt_timeout));
    AnySink::new(layers.service(sink))
}

/// Puts the layers of a whole sink around its endpoints. An offer is repeated at most `retries` times;
/// `rate_max` is in bytes per second, and `wire` counts the bytes of the sink.
pub fn stack(endpoints: Endpoints, retries: u32, rate_max: Option<u64>, wire: &Wire) -> Stack {
    let context = endpoints.context().clone();
    ServiceBuilder::new()
        .layer_fn(|inner| RateLimit::new(inner, rate_max, wire.clone(), &context))
        .layer_fn(|inner| Retry::new(BoundedRetry::new(retries, context.status.subscribe()), inner))
        .service(endpoints)
}

#[cfg(test)]
pub(crate) mod tests;
