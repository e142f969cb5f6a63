//! The connections of the sinks that post: they limit how much a server may send, and tell whether a
//! request was sent completely. The meaning of an answer is left to `http_answer.rs`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::{Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::metered::{MeteredStream, Unsent};
use crate::upload::Wire;

/// The most bytes that are read between two writes: the longest head and body that are accepted, and a TLS
/// handshake. Without this limit, endless informational answers could use up a link's monthly volume.
const HEARD_MAX: u64 = 256 << 10;

/// A connector for HTTP whose connections count their bytes.
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

/// Whether the answer came before the request was sent completely. An acceptance then means nothing,
/// because the server has not read the whole request.
pub(crate) fn is_premature<B>(response: &Response<B>) -> bool {
    response.extensions().get().is_some_and(Unsent::is_some)
}
