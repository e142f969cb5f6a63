//! A TCP connection that counts its bytes. It is below TLS, so handshakes are counted and no byte is
//! counted twice.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::upload::Wire;

/// Whether a connection has bytes to write that the kernel has not accepted yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsent(Arc<AtomicBool>);

impl Unsent {
    pub(crate) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TCP connection whose bytes are counted.
#[derive(Debug)]
pub(crate) struct MeteredStream {
    inner: TcpStream,
    wire: Wire,
    /// The most bytes that may be read between two writes.
    heard_max: u64,
    /// The bytes read since the last write.
    heard: u64,
    unsent: Unsent,
}

impl MeteredStream {
    pub(crate) fn new(inner: TcpStream, wire: Wire) -> Self {
        Self { inner, wire, heard_max: u64::MAX, heard: 0, unsent: Unsent::default() }
    }

    /// Limits the bytes that may be read between two writes. Reads beyond the limit fail.
    pub(crate) fn hearing_at_most(self, heard_max: u64) -> Self {
        Self { heard_max, ..self }
    }

    pub(crate) fn inner(&self) -> &TcpStream {
        &self.inner
    }

    pub(crate) fn unsent(&self) -> Unsent {
        self.unsent.clone()
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        // A writer continues until everything is written or the kernel accepts no more.
        self.unsent.0.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(count)) = written {
            self.wire.add(*count as u64);
            self.heard = 0;
        }
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard > self.heard_max {
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
