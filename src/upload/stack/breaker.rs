//! The breaker as a tower layer. While a breaker is open, its service is *not ready*, so no batch is
//! encoded or sent.
//!
//! [`breaker`](crate::domain::policy::breaker) makes the decisions. This file keeps the time, wakes waiting
//! tasks, updates the status and the log, and returns the permission of a probe that is dropped before it
//! ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use crate::clock::Clock;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::model::event::{Event, Stream};
use crate::domain::policy::backoff::jitter_seed;
use crate::domain::policy::breaker::{
    Breaker, BreakerState, Cause, Leave, Now, Pass, Policy, SavedBreaker,
};
use crate::event_log::Appender;
use crate::telemetry::events::{BreakerMoved, BreakerRecalled, Report, SinkMisconfigured};
use crate::upload::{
    Attempt, CHECK_SETTINGS, EndpointStatus, Offer, Reason, Receipt, SinkRefusal, SinkStatus,
};

/// What all breakers of one sink share.
#[derive(Clone, Debug)]
pub struct Context {
    pub device: String,
    pub sink: String,
    pub clock: Clock,
    pub status: watch::Sender<SinkStatus>,
    pub appender: Appender,
    pub recoveries: Recoveries,
}

impl Context {
    /// A random generator whose seed differs between devices, sinks and parts, so that jitter is not
    /// synchronised.
    pub(crate) fn rng(&self, part: &str) -> fastrand::Rng {
        let seed = jitter_seed(&[&self.device, &self.sink, part], Clock::entropy());
        fastrand::Rng::with_seed(seed)
    }

    pub(crate) fn save(&self, endpoint: &str, saved: SavedBreaker) {
        let event = Event::BreakerSaved { endpoint: endpoint.to_owned(), saved };
        self.appender.note_at_once(Stream::breaker(&self.sink), event);
    }

    fn clocks(&self) -> Now<'_> {
        let at = self.clock.now();
        Now { at, since_boot_ms: self.clock.since_boot_ms(), boot: self.clock.boot_id() }
    }
}

/// Counts how often any breaker of the sink has closed again. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub struct Recoveries(Arc<AtomicU64>);

impl Recoveries {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The breaker of one endpoint, shared by all clones of its service.
#[derive(Clone, Debug)]
pub struct SharedBreaker {
    inner: Arc<Mutex<Inner>>,
    /// The endpoint's URL without secrets, as it is shown and stored.
    address: Arc<str>,
    context: Context,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    rng: fastrand::Rng,
}

impl SharedBreaker {
    /// Creates the breaker of `endpoint`. With `saved` it continues from the state that an earlier process
    /// stored.
    pub fn new(endpoint: &Endpoint, saved: Option<&SavedBreaker>, context: Context) -> Self {
        let address = endpoint.address();
        let mut rng = context.rng(address);
        let policy = Policy::default();
        let breaker = match saved {
            Some(saved) => Breaker::restored(policy, saved, context.clocks(), &mut rng),
            None => Breaker::new(policy),
        };
        let state = breaker.state();
        let inner = Arc::new(Mutex::new(Inner { breaker, rng }));
        let shared = Self { inner, address: address.into(), context };
        shared.recalled(state);
        shared
    }

    pub(crate) fn is_due(&self) -> bool {
        self.lock().breaker.is_due(self.context.clock.now())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().breaker.state().is_closed()
    }

    /// Prepares for an orderly stop. A stop is often the work of a person who may have corrected the
    /// configuration, so a breaker that is open as misconfigured is saved with its wait over and the next
    /// process probes soon.
    pub(crate) fn release(&self) {
        if self.lock().breaker.state().cause() == Some(Cause::Misconfigured) {
            let now = self.context.clocks();
            let mut saved = self.lock().breaker.saved(now);
            if let SavedBreaker::Open { until_ms, .. } = &mut saved {
                *until_ms = now.since_boot_ms;
            }
            self.context.save(&self.address, saved);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single assignment, so a panic elsewhere leaves no inconsistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Leave {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        let leave = inner.breaker.ask(self.context.clock.now());
        self.moved(before, &inner.breaker, None);
        leave
    }

    fn record(&self, pass: Pass, result: &Result<Receipt, SinkRefusal>) {
        let mut inner = self.lock();
        let (before, now) = (inner.breaker.state(), self.context.clock.now());
        let Inner { breaker, rng } = &mut *inner;
        match result {
            // A rejection is an answer: the server is reachable and works.
            Ok(_) | Err(SinkRefusal::Rejected { .. }) => breaker.succeeded(now, pass),
            Err(SinkRefusal::Retry { cause, after, .. }) => {
                breaker.failed(now, pass, *cause, *after, rng);
            }
        }
        let error = result.as_ref().err().map(SinkRefusal::reason).cloned();
        self.context.status.send_modify(|status| {
            status.requests += 1;
            status.failures += u64::from(error.is_some());
            status.last_error.clone_from(&error);
            if let Some(endpoint) = self.of(status) {
                endpoint.requests += 1;
                endpoint.failures += u64::from(error.is_some());
                endpoint.last_error.clone_from(&error);
            }
        });
        self.moved(before, &inner.breaker, error.as_ref());
    }

    fn cancelled(&self, pass: Pass) {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        inner.breaker.cancelled(pass);
        self.moved(before, &inner.breaker, None);
    }

    /// This endpoint's part of the status, or `None` if the endpoint is not listed any more.
    fn of<'a>(&self, status: &'a mut SinkStatus) -> Option<&'a mut EndpointStatus> {
        status.endpoints.iter_mut().find(|endpoint| *endpoint.url == *self.address)
    }

    fn show(&self, state: BreakerState) {
        self.context.status.send_modify(|status| {
            if let Some(endpoint) = self.of(status) {
                endpoint.breaker = state;
            }
            status.sum_up();
        });
    }

    /// Reports a change of state. `why` is the refusal that caused it, if one did.
    fn moved(&self, before: BreakerState, breaker: &Breaker, why: Option<&Reason>) {
        let after = breaker.state();
        if before == after {
            return;
        }
        self.show(after);
        if before.name() == after.name() {
            return;
        }
        // A probe under way is not saved: the next process sends its own.
        if !matches!(after, BreakerState::HalfOpen { .. }) {
            self.context.save(&self.address, breaker.saved(self.context.clocks()));
        }
        if after.is_closed() {
            self.context.recoveries.0.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(before, after, why);
    }

    fn tell(&self, before: BreakerState, after: BreakerState, why: Option<&Reason>) {
        let detail = why.map(Reason::to_string).unwrap_or_default();
        let detail = detail.as_str();
        let (sink, endpoint) = (self.context.sink.as_str(), &*self.address);
        let (label, spared) = self.neighbourhood();
        let retry_in = after.until().map(|at| at.saturating_sub(self.context.clock.now()));
        let moved = BreakerMoved {
            sink,
            endpoint,
            label: &label,
            from: &before,
            to: &after,
            retry_in,
            spared,
            detail,
        };
        moved.count();
        let opened = matches!(after, BreakerState::Open { cause: Cause::Misconfigured, .. });
        if !opened {
            moved.report();
        } else if before.cause() != Some(Cause::Misconfigured) {
            let remedy = why.map_or(CHECK_SETTINGS, Reason::remedy);
            SinkMisconfigured { sink, endpoint, detail, remedy }.report();
        }
    }

    /// The label of this endpoint in metrics, and whether another endpoint of the sink works.
    fn neighbourhood(&self) -> (String, bool) {
        let status = self.context.status.borrow();
        let (own, others): (Vec<_>, Vec<_>) =
            status.endpoints.iter().partition(|endpoint| *endpoint.url == *self.address);
        let label = own.first().map_or_else(|| self.address.to_string(), |own| own.label.clone());
        (label, others.iter().any(|endpoint| endpoint.breaker.is_closed()))
    }

    /// Shows the initial state in the status, and reports it if it keeps the endpoint from sending.
    fn recalled(&self, state: BreakerState) {
        self.show(state);
        if let (Some(cause), Some(until)) = (state.cause(), state.until()) {
            let retry_in = until.saturating_sub(self.context.clock.now());
            let (sink, endpoint) = (self.context.sink.as_str(), &*self.address);
            BreakerRecalled { sink, endpoint, cause, retry_in }.report();
        }
    }
}

/// A service that asks a breaker before it calls `inner`.
#[derive(Debug)]
pub struct BreakerService<S> {
    inner: S,
    breaker: SharedBreaker,
    waiting: Option<Pin<Box<Sleep>>>,
    leave: Option<LeaveHeld>,
}

impl<S> BreakerService<S> {
    pub fn new(inner: S, breaker: SharedBreaker) -> Self {
        Self { inner, breaker, waiting: None, leave: None }
    }

    fn wait(&mut self, time: Duration) {
        self.waiting = Some(Box::pin(sleep_until(Instant::now() + time)));
    }

    /// Waits until the breaker permits a request, and holds the permission in `leave`.
    fn poll_leave(&mut self, context: &mut TaskContext<'_>) -> Poll<()> {
        while self.leave.is_none() {
            if let Some(wait) = &mut self.waiting {
                ready!(wait.as_mut().poll(context));
                self.waiting = None;
            }
            match self.breaker.ask() {
                Leave::Send(pass) => {
                    let breaker = self.breaker.clone();
                    self.leave = Some(LeaveHeld { breaker, pass, open: true });
                }
                Leave::WaitUntil(until) => {
                    self.wait(until.saturating_sub(self.breaker.context.clock.now()));
                }
                // The uploader sends one batch at a time, so the probe is usually its own. Another clone of
                // the service may hold it; then ask again soon.
                Leave::WaitForProbe => self.wait(Duration::from_secs(1)),
            }
        }
        Poll::Ready(())
    }
}

/// A clone does not inherit permission to send and has to ask for its own.
impl<S: Clone> Clone for BreakerService<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.breaker.clone())
    }
}

/// Permission to send one request. It is returned to the breaker if it is dropped unused.
#[derive(Debug)]
struct LeaveHeld {
    breaker: SharedBreaker,
    pass: Pass,
    open: bool,
}

impl LeaveHeld {
    fn finish(mut self, result: &Result<Receipt, SinkRefusal>) {
        self.open = false;
        self.breaker.record(self.pass, result);
    }
}

impl Drop for LeaveHeld {
    fn drop(&mut self) {
        if self.open {
            self.breaker.cancelled(self.pass);
        }
    }
}

impl<S> Service<Offer> for BreakerService<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    /// Never fails: an inner service that fails to become ready counts as a failed call.
    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), SinkRefusal>> {
        loop {
            ready!(self.poll_leave(context));
            match ready!(self.inner.poll_ready(context)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(refusal) => {
                    if let Some(leave) = self.leave.take() {
                        leave.finish(&Err(refusal));
                    }
                }
            }
        }
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let leave = self.leave.take().expect("`poll_ready` came before `call`");
        let sent = self.inner.call(offer);
        Box::pin(async move {
            let result = sent.await;
            leave.finish(&result);
            result
        })
    }
}
