//! From the log to upstream: one upload actor per sink.
//!
//! ```text
//!                                                    ┌▶ breaker ▶ trust ▶ deadline ▶ sink ──▶ upstream
//!  log ◀─next── Uploader ──Offer▶ rate ▶ retry ▶ endpoints
//!      ◀──ack──     ▲                                └▶ breaker ▶ trust ▶ deadline ▶ sink ──▶ upstream
//!                   └───────────── Ok, or Refusal ◀──────────────────────────┘
//! ```
//!
//! The uploader pulls; it holds one batch, and a batch leaves the log only when the sink has
//! accepted it. Sinks do not know of retries, retries do not know of HTTP.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::model::batch::Batch;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::{Cause, State};
use crate::domain::policy::budget::{Account, Held};

mod leftovers;
pub(crate) mod lookup;
pub mod sinks;
pub mod stack;
pub mod uploader;

pub use crate::credentials::SetupError;
pub use crate::transport::wire::Wire;

/// What travels down the stack: cheap to clone, so that a retry offers the very same thing.
#[derive(Clone, Debug)]
pub struct Offer(pub Arc<Batch>);

/// A sink at one endpoint.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Delivers a batch as a whole or not at all, as far as the log is concerned.
    fn deliver(&self, batch: &Batch) -> impl Future<Output = Result<Receipt, Refusal>> + Send;
}

/// An offer on its way down the stack.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>;

/// What a sink took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Body bytes on the wire.
    pub bytes: u64,
}

/// Why an offer was not accepted. The readings stay in the log either way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not now: `after` is the server's own wish.
    #[error("{detail}")]
    Retry { cause: Cause, after: Option<Duration>, detail: String },
    /// Not this batch: the server answered that it will never take it.
    #[error("{detail}")]
    Rejected { what: Rejection, detail: String },
}

impl Refusal {
    /// Of a server that did not say when to come back.
    pub(crate) fn retry(cause: Cause, detail: impl Into<String>) -> Self {
        Self::Retry { cause, after: None, detail: detail.into() }
    }

    /// For something in the batch.
    pub(crate) fn rejected(detail: impl Into<String>) -> Self {
        Self::Rejected { what: Rejection::Content, detail: detail.into() }
    }

    /// It has no form in the sink's encoding.
    pub(crate) fn unencoded(error: impl fmt::Display) -> Self {
        Self::rejected(format!("failed to encode the batch: {error}"))
    }
}

/// What a server has against a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Something in it.
    Content,
    /// Its size: parts of it may pass.
    TooLarge,
    /// The time of each reading in it: the server has moved past them, or they will never have a
    /// date. To divide it shows nothing, and it does not speak of a misconfiguration.
    Time,
}

/// A sink as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkStatus {
    pub name: String,
    pub url: String,
    /// Where it can be reached as far as is known, the preferred first.
    pub endpoints: Vec<EndpointStatus>,
    /// Of the best of them.
    pub breaker: State,
    /// When an open breaker will ask again, on the clock's `now`.
    pub retry_at: Option<Duration>,
    pub last_error: Option<String>,
    pub requests: u64,
    pub failures: u64,
    pub batches: u64,
    pub readings: u64,
    pub bytes: u64,
    /// Since the device booted.
    pub last_delivery_ms: Option<i64>,
    /// Events it refused, which are not offered again.
    pub events_refused: u64,
    /// Of the metered link.
    pub account: Option<Account>,
    /// Why only alarms leave.
    pub held: Option<Held>,
}

/// One endpoint of a sink as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    /// Without what may be secret in it.
    pub url: String,
    /// By which metrics name it: scheme, host and port as long as that tells it from the others.
    pub label: String,
    pub priority: u16,
    pub breaker: State,
    pub last_error: Option<String>,
    pub requests: u64,
    pub failures: u64,
}

const NO_ENDPOINT: &str = "no endpoint is known";

impl SinkStatus {
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            endpoints: Vec::new(),
            breaker: State::Closed { failures: 0 },
            retry_at: None,
            last_error: None,
            requests: 0,
            failures: 0,
            batches: 0,
            readings: 0,
            bytes: 0,
            last_delivery_ms: None,
            events_refused: 0,
            account: None,
            held: None,
        }
    }

    /// Lists these endpoints and no others; what is known of one that stays is kept.
    fn list(&mut self, endpoints: &[Endpoint]) {
        let mut known = std::mem::take(&mut self.endpoints);
        for endpoint in endpoints {
            let (url, priority) = (endpoint.address(), endpoint.priority);
            let origin = endpoint.origin();
            let shared = endpoints.iter().filter(|other| other.origin() == origin).count() > 1;
            let label = if shared { url } else { origin }.to_owned();
            let status = match known.iter().position(|known| known.url == url) {
                Some(at) => EndpointStatus { label, priority, ..known.swap_remove(at) },
                None => EndpointStatus::new(url, label, priority),
            };
            self.endpoints.push(status);
        }
        self.endpoints.sort_by_key(|endpoint| endpoint.priority);
        if endpoints.is_empty() {
            self.last_error = Some(NO_ENDPOINT.to_owned());
        } else if self.last_error.as_deref() == Some(NO_ENDPOINT) {
            self.last_error = None;
        }
        self.sum_up();
    }

    /// A sink is as well as the best of its endpoints. One without any is out of reach.
    fn sum_up(&mut self) {
        let rank = |state: &State| match state {
            State::Closed { .. } => (0, Duration::ZERO),
            State::HalfOpen { .. } => (1, Duration::ZERO),
            State::Open { until, .. } => (2, *until),
        };
        let best = self.endpoints.iter().map(|endpoint| endpoint.breaker).min_by_key(rank);
        let (until, cause) = (Duration::MAX, Cause::LinkDown);
        self.breaker = best.unwrap_or(State::Open { until, attempt: 0, cause });
        self.retry_at = best.and_then(|best| best.until());
    }
}

impl EndpointStatus {
    pub fn new(url: &str, label: String, priority: u16) -> Self {
        let (breaker, last_error) = (State::Closed { failures: 0 }, None);
        Self { url: url.to_owned(), label, priority, breaker, last_error, requests: 0, failures: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(priority: u16, url: &str) -> Endpoint {
        Endpoint { priority, weight: 1, url: url.into() }
    }

    fn open(until: u64) -> State {
        let cause = Cause::ServerBusy;
        State::Open { until: Duration::from_secs(until), attempt: 0, cause }
    }

    #[test]
    fn a_sink_is_as_well_as_the_best_of_its_endpoints() {
        let mut status = SinkStatus::new("s", "u");
        status.list(&[endpoint(1, "http://b"), endpoint(0, "http://a")]);
        assert_eq!(status.endpoints[0].url, "http://a", "the preferred first");
        (status.endpoints[0].breaker, status.endpoints[1].breaker) = (open(9), open(5));
        status.sum_up();
        assert_eq!((status.breaker, status.retry_at), (open(5), Some(Duration::from_secs(5))));
        status.endpoints[0].breaker = State::Closed { failures: 2 };
        status.sum_up();
        assert_eq!((status.breaker, status.retry_at), (State::Closed { failures: 2 }, None));
    }

    #[test]
    fn a_sink_without_endpoints_is_open_and_says_so() {
        let mut status = SinkStatus::new("s", "u");
        status.list(&[]);
        assert_eq!((status.breaker.name(), status.retry_at), ("open", None));
        assert_eq!(status.last_error.as_deref(), Some("no endpoint is known"));
        status.list(&[endpoint(0, "http://a")]);
        assert_eq!(status.last_error, None);
    }

    #[test]
    fn an_endpoint_that_stays_listed_keeps_its_counts_and_labels_tell_endpoints_apart() {
        let mut status = SinkStatus::new("s", "u");
        status.list(&[endpoint(0, "http://a:1/x?key=secret"), endpoint(1, "http://b")]);
        status.endpoints[0].requests = 7;
        assert_eq!(status.endpoints[0].label, "http://a:1");
        status.list(&[endpoint(3, "http://a:1/x?key=new"), endpoint(3, "http://a:1/y")]);
        let seen = status.endpoints.iter().map(|e| (e.label.as_str(), e.priority, e.requests));
        assert!(seen.eq([("http://a:1/x", 3, 7), ("http://a:1/y", 3, 0)]), "{status:?}");
    }
}
