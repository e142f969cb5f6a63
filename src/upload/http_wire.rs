//! The connections of the sinks that post: what they cost, how much a server may say, and whether a
//! request has left.
//!
//! Below TLS and above TCP, so that handshakes count and nothing is counted twice.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::{Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::Service;

use super::Wire;

/// The most that is read between two writes: an answer of the longest head and body that are taken
/// in, with a TLS handshake. Without it, informational answers without end cost a link its month.
const HEARD_MAX: u64 = 256 << 10;

/// Connects as HTTP does, and counts.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    inner: HttpConnector,
    wire: Wire,
}

impl Metered {
    pub(super) fn new(inner: HttpConnector, wire: Wire) -> Self {
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
            let inner = connecting.await?.into_inner();
            let stream = MeteredStream { inner, wire, heard: 0, unsent: Unsent::default() };
            Ok(TokioIo::new(stream))
        })
    }
}

/// Whether a connection has something to write that the kernel did not take yet.
#[derive(Clone, Debug, Default)]
struct Unsent(Arc<AtomicBool>);

/// Whether the request that was answered had not left altogether: whoever accepts it has not read it.
pub(super) fn is_premature<B>(response: &Response<B>) -> bool {
    let unsent = response.extensions().get::<Unsent>();
    unsent.is_some_and(|unsent| unsent.0.load(Ordering::Relaxed))
}

#[derive(Debug)]
pub(super) struct MeteredStream {
    inner: TcpStream,
    wire: Wire,
    /// Since the last write.
    heard: u64,
    unsent: Unsent,
}

impl MeteredStream {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        // Whoever writes goes on until all is written or the kernel takes no more.
        self.unsent.0.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(count)) = written {
            self.wire.add(*count as u64);
            self.heard = 0;
        }
    }
}

impl Connection for MeteredStream {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.unsent.clone())
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard > HEARD_MAX {
            return Poll::Ready(Err(io::Error::other(
                "the server says more than an answer may hold",
            )));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let count = (buffer.filled().len() - before) as u64;
        self.wire.add(count);
        self.heard += count;
        read
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
