//! A sink and its endpoints as others see them: counts, breakers, and what went wrong last.

use std::time::Duration;

use super::refusal::{Class, DeliveryError, Reason};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::{BreakerState, Cause};
use crate::domain::policy::budget::{BudgetStatus, Held};

/// A sink as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkStatus {
    pub name: String,
    pub url: String,
    /// Where it can be reached as far as is known, the preferred first.
    pub endpoints: Vec<EndpointStatus>,
    /// Of the best of them.
    pub breaker: BreakerState,
    /// When an open breaker will ask again, on the clock's `now`.
    pub retry_at: Option<Duration>,
    pub last_error: Option<Reason>,
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
    pub account: Option<BudgetStatus>,
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

    /// Lists these endpoints and no others; what is known of one that stays is kept.
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

    /// A sink is as well as the best of its endpoints. One without any is out of reach.
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
