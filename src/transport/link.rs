//! Opens a connection to the server of a URL, plain or with TLS, and counts its bytes. It is for the sinks
//! that speak their own protocol above TCP.

use std::fmt;
use std::io;

use hyper::Uri;
use tokio::net::TcpStream;

use super::metered::MeteredStream;
use super::tls::{self, TlsFault};
use crate::config::TlsFiles;
use crate::credentials::SetupError;
pub(crate) use crate::credentials::tls::Io;
use crate::domain::policy::breaker::Cause;
use crate::upload::{Class, DeliveryError, SinkRefusal, Wire};

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: &'static str,
    /// The host to connect to, which is also the name that the certificate must have.
    pub(crate) host: String,
    port: u16,
}

impl Address {
    /// Parses a URL that has one of `schemes`, each given with its usual port.
    pub(crate) fn of(url: &str, schemes: &[(&'static str, u16)]) -> Result<Self, SetupError> {
        let no_url = || SetupError::Url(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| no_url())?;
        let known = schemes.iter().find(|(scheme, _)| parsed.scheme_str() == Some(scheme));
        let (scheme, usual) = *known.ok_or_else(no_url)?;
        let host = parsed.host().ok_or_else(no_url)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { scheme, host, port: parsed.port_u16().unwrap_or(usual) })
    }

    pub(crate) async fn dial(&self, wire: &Wire) -> Result<MeteredStream, SinkRefusal> {
        let failed = |source| LinkError::Connect { address: self.to_string(), source };
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        Ok(MeteredStream::new(tcp, wire.clone()))
    }

    /// Starts TLS on a connection and verifies the server's certificate. `files` are named in the error if
    /// they are the reason for a failure.
    pub(crate) async fn encrypt(
        &self,
        io: impl Io + 'static,
        config: tls::ClientConfig,
        files: &TlsFiles,
    ) -> Result<Box<dyn Io>, SinkRefusal> {
        let agreed = tls::connect(io, &self.host, config)?.await;
        match agreed {
            Ok(encrypted) => Ok(Box::new(encrypted)),
            Err(source) => Err(match TlsFault::behind(&source, files) {
                Some(fault) => fault.into(),
                None => LinkError::Encrypt { address: self.to_string(), source }.into(),
            }),
        }
    }
}

/// Why a connection failed, for reasons that are transient.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("failed to connect to `{address}`")]
    Connect { address: String, source: io::Error },
    #[error("failed to agree on TLS with `{address}`")]
    Encrypt { address: String, source: io::Error },
}

impl DeliveryError for LinkError {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_and_whether_to_encrypt() {
        let schemes = [("mqtt", 1883), ("mqtts", 8883)];
        for (url, scheme, shown) in [
            ("mqtt://h/", "mqtt", "h:1883"),
            ("mqtts://h.example", "mqtts", "h.example:8883"),
            ("mqtts://[::1]:9/", "mqtts", "[::1]:9"),
        ] {
            let address = Address::of(url, &schemes).expect("a URL");
            assert_eq!((address.scheme, address.to_string().as_str()), (scheme, shown));
        }
        assert!(Address::of("", &schemes).is_err());
        assert!(Address::of("http://h", &schemes).is_err());
    }
}
