//! TLS to a NATS server, which begins after its first line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::NatsSink;

/// Why TLS cannot be set up. `check` finds it; the daemon takes it as a misconfigured sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("failed to read certificates from `{}`", .path.display())]
    Certificates { path: PathBuf, source: pem::Error },
    #[error("`{}` holds no certificate", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("failed to read a private key from `{}`", .path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("failed to set up TLS")]
    Settings(#[source] rustls::Error),
    #[error("`{0}` is no name that a certificate can be for")]
    Host(String),
}

/// The inner result is that of the handshake.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    host: &str,
    config: &NatsSink,
    stream: S,
) -> Result<io::Result<TlsStream<S>>, TlsError> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TlsError::Host(host.to_owned()))?;
    let connector = TlsConnector::from(Arc::new(settings(config)?));
    Ok(connector.connect(name, stream).await)
}

/// What would keep a sink from ever connecting.
pub(super) fn check(config: &NatsSink) -> Result<(), TlsError> {
    settings(config).map(drop)
}

/// Whether TLS itself failed: a certificate that is not accepted is a person's business.
pub(super) fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn settings(config: &NatsSink) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?;
    let builder = match &config.ca_file {
        None => builder.with_webpki_roots(),
        Some(path) => builder.with_root_certificates(authorities(path)?),
    };
    let (Some(certificate), Some(key)) = (&config.cert_file, &config.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let failed = |source| TlsError::Key { path: key.clone(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
    builder.with_client_auth_cert(certificates(certificate)?, key).map_err(TlsError::Settings)
}

/// The authorities of one file and no others.
fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(TlsError::Settings)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Certificates { path: path.to_owned(), source };
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(failed)?;
    if read.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(read)
}
