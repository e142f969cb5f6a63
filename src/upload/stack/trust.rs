//! Trust as a tower layer: below the breaker, so that a server which refuses nearly everything opens
//! it instead of filling the quarantine; above the deadline, so that each request has its own.
//!
//! Decisions are [`trust`](crate::domain::policy::trust)'s. Before it believes that readings are bad,
//! or once it did not, it asks the server for something else: what the server took before, or, if it
//! took nothing yet, any one reading of the batch. Both may arrive twice, which receivers know by
//! their numbers. A sensor that sends nothing but bad readings therefore does not stop a sink, and
//! bad readings at the front do not keep a server that was mended from being noticed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use outstation_codec::Batch;
use tower::{Service, ServiceExt};

use crate::domain::policy::breaker::Cause;
use crate::domain::policy::isolation;
use crate::domain::policy::trust::Trust;
use crate::upload::{
    Attempt, Class, DeliveryError, Offer, Reason, Receipt, Rejection, SinkRefusal,
};

/// Only small batches are kept to ask with again: their memory is held for as long as the sink runs.
const KNOWN_GOOD_BYTES_MAX: usize = 4096;

/// Guards the quarantine against `inner`. Clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct Trusting<S> {
    inner: S,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    trust: Trust,
    /// What the server took last of what is small.
    known_good: Option<Offer>,
    rng: fastrand::Rng,
}

impl<S> Trusting<S> {
    pub(crate) fn new(inner: S, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let shared = Shared { trust: Trust::default(), known_good: None, rng };
        Self { inner, shared: Arc::new(Mutex::new(shared)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A count that is off by one after a panic elsewhere harms nobody.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn accepted(&mut self, offer: &Offer) {
        let readings = offer.0.readings();
        self.trust.accepted(readings);
        let bytes: usize = offer.0.segments.iter().map(|segment| segment.body.len()).sum();
        if readings > 0 && bytes <= KNOWN_GOOD_BYTES_MAX {
            self.known_good = Some(offer.clone());
        }
    }

    /// What to ask the server for before its word on this batch is believed, if it is doubted.
    fn question(&mut self, batch: &Batch) -> Option<Offer> {
        if !self.trust.is_lost() {
            return None;
        }
        let any = || isolation::sample(batch, &mut self.rng).map(|one| Offer(Arc::new(one)));
        self.known_good.clone().or_else(any)
    }
}

impl<S> Trusting<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
{
    async fn send(&mut self, offer: Offer) -> Result<Receipt, SinkRefusal> {
        self.verify_trust(&offer, None).await?;
        let result = self.inner.ready().await?.call(offer.clone()).await;
        match &result {
            Ok(_) => self.lock().accepted(&offer),
            // Events do not count: there are servers that know readings only. Nor do readings that came
            // too late: that is an outage, and no fault of the settings.
            Err(SinkRefusal::Rejected { what, reason })
                if *what != Rejection::Time && offer.0.readings() == 1 =>
            {
                self.lock().trust.refused();
                self.verify_trust(&offer, Some(reason)).await?;
            }
            Err(_) => {}
        }
        result
    }

    /// Fails if the server is doubted and does not take what it should; `refused`: what it has
    /// against this offer.
    async fn verify_trust(
        &mut self,
        offer: &Offer,
        refused: Option<&Reason>,
    ) -> Result<(), SinkRefusal> {
        loop {
            let Some(question) = self.lock().question(&offer.0) else { return Ok(()) };
            if question.0.ranges() == offer.0.ranges() {
                // There is nothing else to ask with.
                return refused.map_or(Ok(()), |said| Err(NearlyAllRefused(said.clone()).into()));
            }
            match self.inner.ready().await?.call(question.clone()).await {
                Ok(_) => {
                    let mut shared = self.lock();
                    shared.trust = Trust::default();
                    shared.accepted(&question);
                    return Ok(());
                }
                // What it took before may be too old for it by now: then anything else decides.
                Err(SinkRefusal::Rejected { .. }) if self.lock().known_good.take().is_some() => {}
                // It looked at the time of what it was asked, so it knows what it is sent.
                Err(SinkRefusal::Rejected { what: Rejection::Time, .. }) => return Ok(()),
                Err(SinkRefusal::Rejected { reason, .. }) => {
                    return Err(NearlyAllRefused(reason).into());
                }
                Err(retry) => return Err(retry),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "nearly everything is refused, so nothing more is put aside; is this the right server, and does \
     it know this encoding? it says: {0}"
)]
struct NearlyAllRefused(Reason);

impl DeliveryError for NearlyAllRefused {
    fn class(&self) -> Class {
        Class::retry(Cause::Misconfigured)
    }
}

impl<S> Service<Offer> for Trusting<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = Attempt;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SinkRefusal>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        // The one that was found ready is the one to call.
        let clone = self.clone();
        let mut ready = std::mem::replace(self, clone);
        Box::pin(async move { ready.send(offer).await })
    }
}

#[cfg(test)]
mod tests;
