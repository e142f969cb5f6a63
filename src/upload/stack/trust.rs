//! Trust as a tower layer: does a server that refuses readings object to these readings, or to everything?
//!
//! The layer is below the breaker, so that a server which refuses nearly everything opens it instead of
//! filling the quarantine, and above the deadline, so that each request has a deadline of its own.
//!
//! [`trust`](crate::domain::policy::trust) makes the decisions. When nearly everything has been refused,
//! the layer sends a test request before it believes another refusal, and one before each further offer
//! until one is accepted. The test request is a batch that the server accepted before or, if there is none,
//! any one reading of the offered batch. The server may receive these readings twice, and receivers
//! recognise repeats by their numbers. So a sensor that sends nothing but bad readings does not stop a
//! sink, and bad readings at the front do not hide that a server works again.

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

/// The size limit, in bytes of segment bodies, of the accepted batch that is kept for test requests. It is
/// small because the batch stays in memory for as long as the sink runs.
const KNOWN_GOOD_BYTES_MAX: usize = 4096;

/// A service that keeps `inner` from filling the quarantine. Clones share their knowledge of the server.
#[derive(Clone, Debug)]
pub(crate) struct Trusting<S> {
    inner: S,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    trust: Trust,
    /// The last offer below the size limit that the server has accepted.
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
        // A panic elsewhere can leave a count wrong by one, which does no harm.
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

    /// The test request to send before the server's answer to `batch` is believed; `None` while the server
    /// is trusted.
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
            // Only single readings count. Events do not, because some servers accept readings only. Neither
            // do readings that came too late: an outage causes that, not a wrong setting.
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

    /// Sends test requests while the server is not trusted, and fails if it refuses them. `refused` is the
    /// reason for which the server has just refused this offer, if it has.
    async fn verify_trust(
        &mut self,
        offer: &Offer,
        refused: Option<&Reason>,
    ) -> Result<(), SinkRefusal> {
        loop {
            let Some(question) = self.lock().question(&offer.0) else { return Ok(()) };
            if question.0.ranges() == offer.0.ranges() {
                // The offer itself is all that could be sent as a test request.
                return refused.map_or(Ok(()), |said| Err(NearlyAllRefused(said.clone()).into()));
            }
            match self.inner.ready().await?.call(question.clone()).await {
                Ok(_) => {
                    let mut shared = self.lock();
                    shared.trust = Trust::default();
                    shared.accepted(&question);
                    return Ok(());
                }
                // The accepted batch may be too old for the server by now, so a reading of the offer
                // decides.
                Err(SinkRefusal::Rejected { .. }) if self.lock().known_good.take().is_some() => {}
                // The server has read the time of the test request, so it understands the encoding.
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
        // Call the service that is ready; a clone of it would not be.
        let clone = self.clone();
        let mut ready = std::mem::replace(self, clone);
        Box::pin(async move { ready.send(offer).await })
    }
}

#[cfg(test)]
mod tests;
