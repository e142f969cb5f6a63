//! The retry policy of a sink: whether a refused offer is sent again at once. It neither waits nor chooses
//! an endpoint; the layers below it do.

use tokio::sync::watch;
use tower::retry::Policy;

use crate::upload::{Offer, Receipt, SinkRefusal, SinkStatus};

/// Repeats an offer a limited number of times, as long as some endpoint has a closed breaker.
///
/// When the repeats are used up, or no breaker is closed, the refusal goes to the uploader and the readings
/// stay pending in the log. The uploader chooses again at the next probe, because something more urgent may
/// be pending by then.
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
