//! The state of a sink and its endpoints as other tasks see it: counts, breakers, and the last error. Pages
//! and metrics are made from it in `status/`.

use std::time::Duration;

use super::refusal::{Class, DeliveryError, Reason};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::domain::policy::budget::{BudgetStatus, Held};

/// The state of a sink as other tasks see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkStatus {
    pub name: String,
    pub url: String,
    /// The endpoints that are known, the preferred one first.
    pub endpoints: Vec<EndpointStatus>,
    /// The breaker of the endpoint that is nearest to working; see `sum_up`.
    pub breaker: BreakerState,
    /// When an open breaker permits the next request, on the scale of `Clock::now`.
    pub retry_at: Option<Duration>,
    pub last_error: Option<Reason>,
    pub requests: u64,
    pub failures: u64,
    pub batches: u64,
    pub readings: u64,
    pub bytes: u64,
    /// The time of the last delivery, in milliseconds since boot.
    pub last_delivery_ms: Option<i64>,
    /// The number of events that the sink refused. They are not offered again.
    pub events_refused: u64,
    /// The state of the byte budget, if the sink has one.
    pub account: Option<BudgetStatus>,
    /// Why only alarms are sent at the moment; `None` while all lanes are sent.
    pub held: Option<Held>,
}

/// The state of one endpoint of a sink as other tasks see it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    /// The URL without the parts that may be secret.
    pub url: String,
    /// The label in metrics: scheme, host and port, or the URL if two endpoints share these.
    pub label: String,
    pub priority: u16,
    pub breaker: BreakerState,
    pub last_error: Option<Reason>,
    pub requests: u64,
    pub failures: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("no endpoint is known")]
struct NoEndpoint;

impl DeliveryError for NoEndpoint {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}

impl SinkStatus {
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            endpoints: Vec::new(),
            breaker: BreakerState::Closed { failures: 0 },
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

    /// Lists these endpoints and no others. An endpoint that remains keeps its counts and its breaker.
    pub(super) fn list(&mut self, endpoints: &[Endpoint]) {
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
            self.last_error = Some(Reason::new(NoEndpoint));
        } else if self.last_error.as_ref().is_some_and(Reason::is::<NoEndpoint>) {
            self.last_error = None;
        }
        self.sum_up();
    }

    /// Derives the state of the sink from its best endpoint: closed before half-open before open, and among
    /// open breakers the one that may probe first. A sink without endpoints is shown as open.
    pub(super) fn sum_up(&mut self) {
        let rank = |state: &BreakerState| match state {
            BreakerState::Closed { .. } => (0, Duration::ZERO),
            BreakerState::HalfOpen { .. } => (1, Duration::ZERO),
            BreakerState::Open { until, .. } => (2, *until),
        };
        let best = self.endpoints.iter().map(|endpoint| endpoint.breaker).min_by_key(rank);
        let (until, cause) = (Duration::MAX, Cause::LinkDown);
        self.breaker = best.unwrap_or(BreakerState::Open { until, attempt: 0, cause });
        self.retry_at = best.and_then(|best| best.until());
    }
}

impl EndpointStatus {
    pub fn new(url: &str, label: String, priority: u16) -> Self {
        let (breaker, last_error) = (BreakerState::Closed { failures: 0 }, None);
        Self { url: url.to_owned(), label, priority, breaker, last_error, requests: 0, failures: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(priority: u16, url: &str) -> Endpoint {
        Endpoint { priority, weight: 1, url: url.into() }
    }

    fn open(until: u64) -> BreakerState {
        let cause = Cause::ServerBusy;
        BreakerState::Open { until: Duration::from_secs(until), attempt: 0, cause }
    }

    #[test]
    fn a_sink_is_as_well_as_the_best_of_its_endpoints() {
        let mut status = SinkStatus::new("s", "u");
        status.list(&[endpoint(1, "http://b"), endpoint(0, "http://a")]);
        assert_eq!(status.endpoints[0].url, "http://a", "the preferred first");
        (status.endpoints[0].breaker, status.endpoints[1].breaker) = (open(9), open(5));
        status.sum_up();
        assert_eq!((status.breaker, status.retry_at), (open(5), Some(Duration::from_secs(5))));
        status.endpoints[0].breaker = BreakerState::Closed { failures: 2 };
        status.sum_up();
        assert_eq!((status.breaker, status.retry_at), (BreakerState::Closed { failures: 2 }, None));
    }

    #[test]
    fn a_sink_without_endpoints_is_open_and_says_so() {
        let mut status = SinkStatus::new("s", "u");
        status.list(&[]);
        assert_eq!((status.breaker.name(), status.retry_at), ("open", None));
        assert_eq!(status.last_error, Some("no endpoint is known".into()));
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
