//! Keeps the list of a sink's endpoints up to date when they are discovered by DNS SRV or multicast DNS.
//!
//! A DNS lookup is repeated when its answer expires or when none of the endpoints works; multicast DNS
//! reports changes by itself. While lookups fail, the endpoints that are known stay in use. The queries
//! themselves are made in `discovery/`.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::SinkStatus;
use crate::clock::Clock;
use crate::config::{Discovered, Via};
use crate::discovery::mdns::{Browser, MdnsService};
use crate::discovery::srv::{Resolver, ServiceRecords};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::backoff::Backoff;
use crate::domain::policy::breaker::BreakerState;
use crate::error_chain::error_chain;
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::{EndpointsFound, EndpointsUnknown, Report};

/// The bounds on the time between two DNS lookups, whatever the TTL of the records says. The lower bound
/// spares the name server; the upper one exists because a site may move before a long TTL ends.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(30);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(3600);

const RETRY: Backoff =
    Backoff { first: Duration::from_secs(5), factor: 2.0, max: Duration::from_secs(300) };
/// The wait before another lookup while none of the known endpoints works. It comes on top of
/// `ASK_AGAIN_MIN` and grows with each lookup that did not help.
const DOUBT: Backoff =
    Backoff { first: Duration::from_secs(30), factor: 2.0, max: Duration::from_secs(900) };

/// The arguments of one run of the lookup actor.
#[derive(Debug)]
pub(crate) struct EndpointLookup {
    pub sink: String,
    pub discovered: Discovered,
    pub endpoints: watch::Sender<Vec<Endpoint>>,
    pub status: watch::Receiver<SinkStatus>,
    pub stop: Stop,
    pub heartbeat: Heartbeat,
}

/// Runs the lookup of one sink until the supervisor requests a stop.
pub(crate) async fn run(mut lookup: EndpointLookup) -> Result<(), Infallible> {
    match lookup.discovered.via {
        Via::Srv => lookup.ask_the_dns().await,
        Via::Mdns => lookup.listen_to_the_network().await,
    }
    Ok(())
}

/// Why a wait ended.
enum Woken<T> {
    Done(T),
    Stopped,
}

impl<T> Woken<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Woken<U> {
        match self {
            Self::Done(done) => Woken::Done(change(done)),
            Self::Stopped => Woken::Stopped,
        }
    }
}

/// Why the DNS is asked again.
enum Rested {
    Enough,
    /// No known endpoint works: all breakers of the sink are open.
    Doubtful,
}

impl EndpointLookup {
    async fn ask_the_dns(&mut self) {
        let mut rng = fastrand::Rng::with_seed(Clock::entropy());
        let (mut attempt, mut doubts) = (0, 0);
        loop {
            let service = self.discovered.service.clone();
            let lookup = async { Resolver::of_system()?.lookup(&service).await };
            let Woken::Done(answer) = self.meanwhile(lookup).await else { return };
            let rested = match answer {
                Ok(ServiceRecords { targets, ttl }) => {
                    attempt = 0;
                    let endpoint = |target: crate::discovery::srv::Target| Endpoint {
                        priority: target.priority,
                        weight: target.weight,
                        url: self.url(&target.host, target.port, None),
                    };
                    self.publish(targets.into_iter().map(endpoint).collect());
                    let doubt = ASK_AGAIN_MIN + DOUBT.wait(doubts, &mut rng);
                    self.rest(ttl.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX), doubt).await
                }
                Err(error) => {
                    self.unknown(&error_chain(&error));
                    let wait = Instant::now() + RETRY.wait(attempt, &mut rng);
                    attempt += 1;
                    self.meanwhile(sleep_until(wait)).await.map(|()| Rested::Enough)
                }
            };
            match rested {
                Woken::Done(Rested::Enough) => doubts = 0,
                Woken::Done(Rested::Doubtful) => doubts += 1,
                Woken::Stopped => return,
            }
        }
    }

    async fn listen_to_the_network(&mut self) {
        let mut rng = fastrand::Rng::with_seed(Clock::entropy());
        let mut attempt = 0;
        loop {
            let error = match Browser::start(&self.discovered.service) {
                Ok(mut browser) => loop {
                    match self.meanwhile(browser.changed()).await {
                        Woken::Stopped => return,
                        Woken::Done(Ok(services)) => {
                            attempt = 0;
                            self.heard(&services);
                        }
                        Woken::Done(Err(error)) => break error,
                    }
                },
                Err(error) => error,
            };
            self.unknown(&error_chain(&error));
            let wait = Instant::now() + RETRY.wait(attempt, &mut rng);
            attempt += 1;
            if let Woken::Stopped = self.meanwhile(sleep_until(wait)).await {
                return;
            }
        }
    }

    /// Publishes the services that are announced now. A service that said goodbye is dropped, but an empty
    /// list is ignored: the last endpoint stays, because a board without any address could only wait.
    fn heard(&mut self, services: &[MdnsService]) {
        if services.is_empty() {
            return;
        }
        let endpoint = |service: &MdnsService| {
            let host = match service.address {
                std::net::IpAddr::V4(address) => address.to_string(),
                std::net::IpAddr::V6(address) => format!("[{address}]"),
            };
            let url = self.url(&host, service.port, service.path());
            Endpoint { priority: 0, weight: 1, url }
        };
        self.publish(services.iter().map(endpoint).collect());
    }

    fn url(&self, host: &str, port: u16, path: Option<&str>) -> String {
        let Discovered { scheme, path: usual, .. } = &self.discovered;
        format!("{scheme}://{}:{port}{}", host.trim_end_matches('.'), path.unwrap_or(usual))
    }

    fn publish(&self, mut endpoints: Vec<Endpoint>) {
        endpoints.sort();
        endpoints.dedup();
        let news = self.endpoints.send_if_modified(|known| {
            let news = *known != endpoints;
            known.clone_from(&endpoints);
            news
        });
        if news {
            let urls: Vec<&str> = endpoints.iter().map(Endpoint::address).collect();
            EndpointsFound { sink: &self.sink, endpoints: &urls.join(", ") }.report();
        }
    }

    fn unknown(&self, detail: &str) {
        let kept = self.endpoints.borrow().len();
        let service = self.discovered.to_string();
        EndpointsUnknown { sink: &self.sink, service: &service, kept, detail }.report();
    }

    /// Waits until the next lookup: for `wait`, or until the sink's breaker is open, but in the latter case
    /// at least for `doubt`, because a name server must not be flooded with queries any more than a sink.
    async fn rest(&mut self, wait: Duration, doubt: Duration) -> Woken<Rested> {
        let asked = Instant::now();
        let mut status = self.status.clone();
        let doubtful = async move {
            sleep_until(asked + doubt).await;
            let is_open = |status: &SinkStatus| matches!(status.breaker, BreakerState::Open { .. });
            if status.wait_for(is_open).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let either = async {
            // Both arms are cancel-safe.
            tokio::select! {
                () = sleep_until(asked + wait) => Rested::Enough,
                () = doubtful => Rested::Doubtful,
            }
        };
        self.meanwhile(either).await
    }

    /// Awaits `something` and answers heartbeats meanwhile. Returns early when a stop is requested.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> Woken<T> {
        tokio::pin!(something);
        loop {
            // All arms are cancel-safe: `something` is pinned outside the loop and survives it.
            tokio::select! {
                done = &mut something => return Woken::Done(done),
                () = self.stop.requested() => return Woken::Stopped,
                () = self.heartbeat.answer() => {}
            }
        }
    }
}
