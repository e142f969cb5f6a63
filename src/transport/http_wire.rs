//! The connections of the sinks that post: how much a server may say, and whether a request has left.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::{Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::metered::{MeteredStream, Unsent};
use crate::upload::Wire;

/// The most that is read between two writes: an answer of the longest head and body that are taken
/// in, with a TLS handshake. Without it, informational answers without end cost a link its month.
const HEARD_MAX: u64 = 256 << 10;

/// Connects as HTTP does, and counts.
#[derive(Clone, Debug)]
pub(crate) struct Metered {
    inner: HttpConnector,
    wire: Wire,
}

impl Metered {
    pub(crate) fn new(inner: HttpConnector, wire: Wire) -> Self {
        Self { inner, wire }
    }
}

impl Service<Uri> for Metered {
    type Response = TokioIo<MeteredStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (connecting, wire) = (self.inner.call(url), self.wire.clone());
        Box::pin(async move {
            let stream = MeteredStream::new(connecting.await?.into_inner(), wire);
            Ok(TokioIo::new(stream.hearing_at_most(HEARD_MAX)))
        })
    }
}

impl Connection for MeteredStream {
    fn connected(&self) -> Connected {
        self.inner().connected().extra(self.unsent())
    }
}

/// Whether the request that was answered had not left altogether: whoever accepts it has not read it.
pub(crate) fn is_premature<B>(response: &Response<B>) -> bool {
    response.extensions().get().is_some_and(Unsent::is_some)
}
