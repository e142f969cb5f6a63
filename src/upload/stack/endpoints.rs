//! A sink at several endpoints, each behind its own breaker.
//!
//! The service is ready as soon as one endpoint is. [`failover`](crate::domain::policy::failover) gives the
//! order in which endpoints are asked, and each breaker decides whether its endpoint may be used. An
//! endpoint whose wait is over gets one real request before the endpoints that work; if that request fails,
//! the retry layer finds the next ready endpoint at once. While no endpoint is ready, or none is known,
//! `poll_ready` pends. It wakes when the first endpoint becomes ready or the list of endpoints changes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};

use tokio::sync::watch;
use tower::Service;

use super::breaker::{Context, SharedBreaker};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::failover::{self, Candidate};
use crate::upload::AnySink;
use crate::upload::{Attempt, Offer, Receipt, SinkRefusal};

/// Creates the sink of one endpoint with the layers around it.
type Connect = Box<dyn Fn(&Endpoint, SharedBreaker) -> AnySink + Send + Sync>;

/// The endpoints of one sink. Clones share the endpoints and their breakers, but each clone becomes ready
/// by itself.
pub struct Endpoints {
    shared: Arc<Shared>,
    known: watch::Receiver<Vec<Endpoint>>,
    /// Resolves when the list of endpoints changes. `None` while no task waits for that.
    news: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// This clone's copy of the shared members, as of `generation`.
    members: Vec<Member>,
    generation: u64,
    /// The index of the member that is ready and holds permission from its breaker.
    ready: Option<usize>,
}

struct Shared {
    context: Context,
    connect: Connect,
    state: Mutex<Group>,
}

/// The state that all clones share.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    /// The number of lists applied so far, 0 before the first.
    generation: u64,
    /// The breakers that an earlier process saved, by address, of endpoints that have not been listed yet.
    recalled: BTreeMap<String, SavedBreaker>,
    /// The URL of the endpoint that was drawn within its priority.
    current: Option<String>,
    /// The count of recoveries at the last draw. Each recovery causes a new draw; otherwise all devices
    /// would stay at the endpoint to which the last outage drove them.
    drawn_after: u64,
    rng: fastrand::Rng,
}

#[derive(Clone, Debug)]
struct Member {
    endpoint: Endpoint,
    breaker: SharedBreaker,
    service: AnySink,
}

impl Endpoints {
    pub fn new(
        known: watch::Receiver<Vec<Endpoint>>,
        context: Context,
        connect: impl Fn(&Endpoint, SharedBreaker) -> AnySink + Send + Sync + 'static,
    ) -> Self {
        context.status.send_modify(|status| status.list(&known.borrow()));
        let group = Group {
            members: Vec::new(),
            generation: 0,
            recalled: BTreeMap::new(),
            current: None,
            drawn_after: 0,
            rng: context.rng("endpoints"),
        };
        let connect = Box::new(connect);
        let shared = Arc::new(Shared { context, connect, state: Mutex::new(group) });
        Self { shared, known, news: None, members: Vec::new(), generation: 0, ready: None }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Hands over the breakers that an earlier process saved. The call has no effect after the first
    /// request.
    pub fn recall(&mut self, breakers: BTreeMap<String, SavedBreaker>) {
        let mut group = self.shared.lock();
        if group.generation == 0 {
            group.recalled = breakers;
        }
        drop(group);
        self.refresh();
    }

    /// Prepares for an orderly stop. The saved breakers of endpoints that this process never listed are
    /// deleted.
    pub fn release(&self) {
        let mut group = self.shared.lock();
        group.members.iter().for_each(|member| member.breaker.release());
        for (gone, _) in std::mem::take(&mut group.recalled) {
            self.shared.context.save(&gone, SavedBreaker::Closed);
        }
    }

    /// Applies the current list of endpoints, if it is new to this clone.
    fn refresh(&mut self) {
        let mut group = self.shared.lock();
        if group.generation == 0 || self.known.has_changed().unwrap_or(false) {
            let list = self.known.borrow_and_update().clone();
            group.take_up(&list, &self.shared);
        }
        if group.generation != self.generation {
            // Permission that is held is kept unless its endpoint is gone.
            let held = self.ready.take().map(|at| self.members.swap_remove(at));
            self.members.clone_from(&group.members);
            self.generation = group.generation;
            let same = |held: &Member, member: &Member| member.endpoint.url == held.endpoint.url;
            let place = |held: &Member| self.members.iter().position(|member| same(held, member));
            if let Some((held, at)) = held.and_then(|held| place(&held).map(|at| (held, at))) {
                self.members[at].service = held.service;
                self.ready = Some(at);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Group> {
        // A list is applied in one assignment, so a panic elsewhere leaves no inconsistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Applies a new list. Endpoints that remain keep their breakers and connections; the others are
    /// dropped.
    fn take_up(&mut self, list: &[Endpoint], shared: &Shared) {
        let context = &shared.context;
        let mut before = std::mem::take(&mut self.members);
        let mut members: Vec<Member> = Vec::with_capacity(list.len());
        let mut listed: Vec<Endpoint> = Vec::with_capacity(list.len());
        for endpoint in list {
            // An address is what is shown and saved, so it must be unique.
            if !listed.iter().any(|known| known.address() == endpoint.address()) {
                listed.push(endpoint.clone());
            }
        }
        context.status.send_modify(|status| status.list(&listed));
        for endpoint in listed {
            let known = before.iter().position(|member| member.endpoint.url == endpoint.url);
            members.push(match known {
                Some(at) => Member { endpoint, ..before.swap_remove(at) },
                None => self.join(endpoint, shared),
            });
        }
        for gone in before {
            context.save(gone.endpoint.address(), SavedBreaker::Closed);
        }
        (self.members, self.generation) = (members, self.generation + 1);
    }

    fn join(&mut self, endpoint: Endpoint, shared: &Shared) -> Member {
        let saved = self.recalled.remove(endpoint.address());
        let breaker = SharedBreaker::new(&endpoint, saved.as_ref(), shared.context.clone());
        let service = (shared.connect)(&endpoint, breaker.clone());
        Member { endpoint, breaker, service }
    }

    fn order(&mut self) -> Vec<usize> {
        let candidate = |member: &Member| Candidate {
            priority: member.endpoint.priority,
            weight: member.endpoint.weight,
            due: member.breaker.is_due(),
            current: self.current.as_ref() == Some(&member.endpoint.url),
        };
        let candidates: Vec<_> = self.members.iter().map(candidate).collect();
        failover::order(&candidates, &mut self.rng)
    }
}

impl Endpoints {
    fn order(&self) -> Vec<usize> {
        let mut group = self.shared.lock();
        let recoveries = self.shared.context.recoveries.count();
        if group.drawn_after != recoveries {
            (group.current, group.drawn_after) = (None, recoveries);
        }
        group.order()
    }

    /// Records that member `at` is ready, and which endpoint is current. The drawn endpoint stays current
    /// until its breaker opens: an endpoint that stands in after a single failure does not replace it, and
    /// neither does one whose breaker is half-open.
    fn choose(&mut self, at: usize) {
        self.ready = Some(at);
        let Member { endpoint, breaker, .. } = &self.members[at];
        let mut group = self.shared.lock();
        let stays = |drawn: &Member| {
            drawn.endpoint.priority == endpoint.priority
                && group.current.as_ref() == Some(&drawn.endpoint.url)
                && drawn.breaker.is_closed()
        };
        if breaker.is_closed() && !self.members.iter().any(stays) {
            group.current = Some(endpoint.url.clone());
        }
    }

    /// Waits for the next list of endpoints.
    fn poll_news(&mut self, context: &mut TaskContext<'_>) -> Poll<()> {
        let mut known = self.known.clone();
        let news = self.news.get_or_insert_with(|| {
            Box::pin(async move {
                if known.changed().await.is_err() {
                    // The sender is gone, so the list cannot change any more.
                    std::future::pending::<()>().await;
                }
            })
        });
        ready!(news.as_mut().poll(context));
        self.news = None;
        Poll::Ready(())
    }
}

/// A clone is not ready, even if the original is.
impl Clone for Endpoints {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            known: self.known.clone(),
            news: None,
            members: self.members.clone(),
            generation: self.generation,
            ready: None,
        }
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.iter().map(|member| &member.endpoint);
        to.debug_list().entries(members).finish()
    }
}

impl Service<Offer> for Endpoints {
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), SinkRefusal>> {
        loop {
            self.refresh();
            if self.ready.is_some() {
                return Poll::Ready(Ok(()));
            }
            for at in self.order() {
                if let Poll::Ready(ready) = self.members[at].service.poll_ready(context)? {
                    self.choose(at);
                    return Poll::Ready(Ok(ready));
                }
            }
            ready!(self.poll_news(context));
        }
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let at = self.ready.take().expect("`poll_ready` came before `call`");
        self.members[at].service.call(offer)
    }
}

#[cfg(test)]
mod tests;
