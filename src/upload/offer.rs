//! The interface between the uploader and a sink: a batch goes down as an offer, and a receipt or a refusal
//! comes back up. The layers between the two are in `stack/`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tower::service_fn;
use tower::util::BoxCloneService;

use outstation_codec::Batch;

use super::refusal::SinkRefusal;

/// A batch on its way down the stack. Cloning is cheap, so a retry offers the same batch again without a
/// copy.
#[derive(Clone, Debug)]
pub struct Offer(pub Arc<Batch>);

/// The answer of a sink that has accepted an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The length of the request body in bytes, as it was sent.
    pub bytes: u64,
}

/// The future of one call of the stack or of a sink.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Receipt, SinkRefusal>> + Send>>;

/// A sink of any kind at one endpoint, with or without layers around it.
pub type AnySink = BoxCloneService<Offer, Receipt, SinkRefusal>;

/// A sink at one endpoint, implemented by each kind of sink.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Delivers a batch. `Ok` means that the sink has accepted all of it, and the log then counts it as
    /// delivered. Any error leaves the whole batch pending, even if the sink has taken part of it.
    fn deliver(&self, batch: &Batch) -> impl Future<Output = Result<Receipt, SinkRefusal>> + Send;
}

/// Makes a tower service of a sink. The layers of the stack clone the service; all clones share `sink`.
pub(crate) fn service(sink: impl Deliver) -> AnySink {
    let sink = Arc::new(sink);
    AnySink::new(service_fn(move |offer: Offer| {
        let sink = Arc::clone(&sink);
        async move { sink.deliver(&offer.0).await }
    }))
}
