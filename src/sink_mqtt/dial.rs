//! From a URL to bytes that flow to a broker, each counted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::access::SetupError;
use super::connection::{Io, link_down};
use super::tls::{self, Tls};
use crate::domain::breaker::Cause;
use crate::telemetry::error_chain;
use crate::upload::{Refusal, Wire};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    pub(super) encrypted: bool,
}

impl Address {
    pub(super) fn of(url: &str) -> Result<Self, SetupError> {
        let no_url = || SetupError::Url(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| no_url())?;
        let encrypted = parsed.scheme_str() == Some("mqtts");
        let host = parsed.host().ok_or_else(no_url)?.trim_matches(['[', ']']).to_owned();
        let usual = if encrypted { 8883 } else { 1883 };
        Ok(Self { host, port: parsed.port_u16().unwrap_or(usual), encrypted })
    }
}

pub(super) async fn dial(
    address: &Address,
    tls: Option<Tls>,
    wire: &Wire,
) -> Result<Box<dyn Io>, Refusal> {
    let Address { host, port, .. } = address;
    let failed = |error: io::Error| {
        link_down(format!("failed to connect to `{host}` port {port}: {}", error_chain(&error)))
    };
    let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let counted = Counted { io: tcp, wire: wire.clone() };
    let Some(tls) = tls else { return Ok(Box::new(counted)) };
    tls.over(counted, host).await.map_err(|error| match tls::is_to_blame(&error) {
        // A person's business, where the rest is weather.
        true => Refusal::Retry {
            cause: Cause::Misconfigured,
            after: None,
            detail: format!("failed to set up TLS with `{host}`: {}", error_chain(&error)),
        },
        false => failed(error),
    })
}

/// Counts what passes in either direction.
struct Counted<T> {
    io: T,
    wire: Wire,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, into))?;
        self.wire.add((into.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(context, bytes))?;
        self.wire.add(count as u64);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_and_whether_to_encrypt() {
        let address = |url| Address::of(url).expect("a URL");
        let of = |host: &str, port, encrypted| Address { host: host.into(), port, encrypted };
        assert_eq!(address("mqtt://h/"), of("h", 1883, false));
        assert_eq!(address("mqtts://h.example"), of("h.example", 8883, true));
        assert_eq!(address("mqtts://[::1]:9/"), of("::1", 9, true));
        assert!(Address::of("").is_err());
    }
}
