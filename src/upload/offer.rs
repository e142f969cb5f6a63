//! What travels between the uploader and a sink: a batch on its way down, a receipt on its way up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tower::service_fn;
use tower::util::BoxCloneService;

use outstation_codec::Batch;

use super::refusal::SinkRefusal;

/// What travels down the stack: cheap to clone, so that a retry offers the very same thing.
#[derive(Clone, Debug)]
pub struct Offer(pub Arc<Batch>);

/// What a sink took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Body bytes on the wire.
    pub bytes: u64,
}

/// An offer on its way down the stack.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Receipt, SinkRefusal>> + Send>>;

/// A sink of any kind at one endpoint, with or without layers around it.
pub type AnySink = BoxCloneService<Offer, Receipt, SinkRefusal>;

/// A sink at one endpoint.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Delivers a batch as a whole or not at all, as far as the log is concerned.
    fn deliver(&self, batch: &Batch) -> impl Future<Output = Result<Receipt, SinkRefusal>> + Send;
}

/// Makes a service of a sink for the layers of the stack. They clone it; what it holds is shared.
pub(crate) fn service(sink: impl Deliver) -> AnySink {
    let sink = Arc::new(sink);
    AnySink::new(service_fn(move |offer: Offer| {
        let sink = Arc::clone(&sink);
        async move { sink.deliver(&offer.0).await }
    }))
}
