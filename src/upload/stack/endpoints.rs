//! One sink at several endpoints, each behind a breaker of its own.
//!
//! Ready when any of them is: [`failover`](crate::domain::policy::failover) says in which order they
//! are asked, and each breaker says when. An endpoint whose wait is over gets one real request
//! before those that work; should that fail, the retry layer finds the next one ready at once.
//! While none is ready, or none is known, this pends, and wakes with the first that is or with the
//! next list of endpoints.

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

/// Puts the layers of one endpoint around its sink.
type Connect = Box<dyn Fn(&Endpoint, SharedBreaker) -> AnySink + Send + Sync>;

/// Clones share the endpoints and their breakers; readiness is each one's own.
pub struct Endpoints {
    shared: Arc<Shared>,
    known: watch::Receiver<Vec<Endpoint>>,
    /// Resolves with the next list.
    news: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// As of `generation`.
    members: Vec<Member>,
    generation: u64,
    /// The member that is ready, and holds leave.
    ready: Option<usize>,
}

struct Shared {
    context: Context,
    connect: Connect,
    state: Mutex<Group>,
}

/// What all clones agree on.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    /// Counts lists, from 1.
    generation: u64,
    /// What an earlier process left of endpoints that were not heard of yet.
    recalled: BTreeMap<String, SavedBreaker>,
    /// The URL of the endpoint that was drawn within its priority.
    current: Option<String>,
    /// The recoveries there had been by then: each is a reason to draw again, or all devices would
    /// stay where the last outage drove them.
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

    /// What an earlier process left; heeded before the first request, and not after it.
    pub fn recall(&mut self, breakers: BTreeMap<String, SavedBreaker>) {
        let mut group = self.shared.lock();
        if group.generation == 0 {
            group.recalled = breakers;
        }
        drop(group);
        self.refresh();
    }

    /// Before an orderly stop. Endpoints that were not listed again leave no trace.
    pub fn release(&self) {
        let mut group = self.shared.lock();
        group.members.iter().for_each(|member| member.breaker.release());
        for (gone, _) in std::mem::take(&mut group.recalled) {
            self.shared.context.save(&gone, SavedBreaker::Closed);
        }
    }

    /// Takes up the list of endpoints as it is now.
    fn refresh(&mut self) {
        let mut group = self.shared.lock();
        if group.generation == 0 || self.known.has_changed().unwrap_or(false) {
            let list = self.known.borrow_and_update().clone();
            group.take_up(&list, &self.shared);
        }
        if group.generation != self.generation {
            // Leave that is held is kept unless its endpoint is gone.
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
        // A list is taken up in one assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Endpoints that stay keep their breakers and connections, others are dropped.
    fn take_up(&mut self, list: &[Endpoint], shared: &Shared) {
        let context = &shared.context;
        let mut before = std::mem::take(&mut self.members);
        let mut members: Vec<Member> = Vec::with_capacity(list.len());
        let mut listed: Vec<Endpoint> = Vec::with_capacity(list.len());
        for endpoint in list {
            // What is shown and saved must name one endpoint.
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

    /// The one that was drawn is kept until its breaker opens: another only stands in while it rests
    /// after a failure, and one that is on probation is not drawn by that.
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

    /// Waits for the next list.
    fn poll_news(&mut self, context: &mut TaskContext<'_>) -> Poll<()> {
        let mut known = self.known.clone();
        let news = self.news.get_or_insert_with(|| {
            Box::pin(async move {
                if known.changed().await.is_err() {
                    // The list that is known is the last.
                    std::future::pending::<()>().await;
                }
            })
        });
        ready!(news.as_mut().poll(context));
        self.news = None;
        Poll::Ready(())
    }
}

/// A clone has to become ready by itself.
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
