//! Limits the duration of one attempt. The retry and the breaker decide what follows.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;
use tower::Service;

use crate::domain::policy::breaker::Cause;
use crate::upload::{Attempt, Class, DeliveryError, Offer, Receipt, SinkRefusal};

/// Fails an attempt that takes longer than `limit`, as `Cause::LinkDown`.
#[derive(Clone, Debug)]
pub(super) struct Deadline<S> {
    inner: S,
    limit: Duration,
}

impl<S> Deadline<S> {
    pub(super) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Offer> for Deadline<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SinkRefusal>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let (attempt, limit) = (self.inner.call(offer), self.limit);
        Box::pin(async move {
            timeout(limit, attempt).await.unwrap_or_else(|_| Err(TooLate(limit).into()))
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {}", humantime::format_duration(*.0))]
struct TooLate(Duration);

impl DeliveryError for TooLate {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}
