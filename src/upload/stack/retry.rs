//! The retry of a sink: whether the same offer is made again at once.

use tokio::sync::watch;
use tower::retry::Policy;

use crate::upload::{Offer, Receipt, SinkRefusal, SinkStatus};

/// Tries the same offer again, a few times, as long as some endpoint is thought to work.
///
/// When they run out, or all breakers are open, the refusal goes up, and the readings are where they
/// always were: by the time of the next probe there may be something more urgent to send.
#[derive(Clone, Debug)]
pub struct BoundedRetry {
    left: u32,
    status: watch::Receiver<SinkStatus>,
}

impl BoundedRetry {
    pub(super) fn new(retries: u32, status: watch::Receiver<SinkStatus>) -> Self {
        Self { left: retries, status }
    }
}

impl Policy<Offer, Receipt, SinkRefusal> for BoundedRetry {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Offer,
        result: &mut Result<Receipt, SinkRefusal>,
    ) -> Option<Self::Future> {
        let again = matches!(result, Err(SinkRefusal::Retry { .. }))
            && self.left > 0
            && self.status.borrow().breaker.is_closed();
        again.then(|| {
            self.left -= 1;
            std::future::ready(())
        })
    }

    fn clone_request(&mut self, offer: &Offer) -> Option<Offer> {
        Some(offer.clone())
    }
}
