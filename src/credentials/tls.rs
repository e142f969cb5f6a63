//! Builds TLS configurations from certificate and key files: whom a client trusts, and how a server or
//! client identifies itself. The meaning of a TLS failure for delivery is in `transport/tls.rs`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
pub(crate) use rustls::{ClientConfig, ServerConfig};
use rustls::{InconsistentKeys, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};

use super::file::{FileKind, NamedFile, SetupError};
use crate::config::TlsFiles;

/// A byte stream: TCP, or TLS above it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The identity of files at one time: inode and time of change. A different stamp means that the files must
/// be read again, because a certificate was renewed or a mode was corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilesStamp(Vec<Option<(u64, i64, i64)>>);

impl FilesStamp {
    pub(crate) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let of = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.ino(), file.ctime(), file.ctime_nsec()))
        };
        Self(paths.into_iter().map(of).collect())
    }
}

/// Builds a client's configuration from its files. Without `ca_file` it trusts the built-in Mozilla roots.
pub(crate) fn client_config(files: &TlsFiles) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &files.ca_file {
        None => builder.with_webpki_roots(),
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    let Some((certificate, key)) = files.identity() else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, private) = (certificates(certificate)?, private_key(key)?);
    builder.with_client_auth_cert(chain, private).map_err(|error| mismatch(error, certificate, key))
}

/// The most TLS sessions that are kept for resumption. A scraper needs one, and more would only take
/// memory.
const SESSIONS_MAX: usize = 32;

/// Builds a server's configuration from its certificate and key. With `clients`, a file of authorities,
/// clients must show a certificate that one of them has signed.
pub(crate) fn server_config(
    certificate: &Path,
    key: &Path,
    clients: Option<&Path>,
) -> Result<ServerConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().map_err(unknown)?)
        }
    };
    let (chain, private) = (certificates(certificate)?, private_key(key)?);
    let config = builder.with_single_cert(chain, private);
    let mut config = config.map_err(|error| mismatch(error, certificate, key))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(config)
}

fn mismatch(error: rustls::Error, certificate: &Path, key: &Path) -> SetupError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            SetupError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        source => SetupError::Identity {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source: Box::new(source),
        },
    }
}

fn unknown(error: VerifierBuilderError) -> SetupError {
    SetupError::Tls(Box::new(error))
}

/// Reads the authorities to trust: those in this file and no others.
fn roots(path: &Path) -> Result<RootCertStore, SetupError> {
    let (file, mut roots) = (NamedFile::open(FileKind::Certificate, path), RootCertStore::empty());
    for certificate in certificates(path)? {
        let useless = |_| file.holds("a certificate that is none of an authority");
        roots.add(certificate).map_err(useless)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let file = NamedFile::open(FileKind::Certificate, path);
    let pem = file.bytes()?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    // The cause is not shown here and below, because it might quote the file.
    let found = found.map_err(|_| file.holds("something that is no PEM"))?;
    if found.is_empty() {
        return Err(file.holds("no certificate in PEM"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    let file = NamedFile::secret(FileKind::Key, path);
    let no_key = "no private key in PEM (one with a passphrase cannot be used)";
    PrivateKeyDer::from_pem_slice(&file.bytes()?).map_err(|_| file.holds(no_key))
}

fn unusable(error: rustls::Error) -> SetupError {
    SetupError::Tls(Box::new(error))
}

/// Performs the TLS handshake with a client.
pub(crate) async fn accept<S: Io>(
    stream: S,
    config: Arc<ServerConfig>,
) -> std::io::Result<tokio_rustls::server::TlsStream<S>> {
    tokio_rustls::TlsAcceptor::from(config).accept(stream).await
}

/// Starts a TLS handshake with the server `host`, whose certificate must have that name.
pub(crate) fn connect<S>(
    stream: S,
    host: &str,
    config: ClientConfig,
) -> Result<tokio_rustls::Connect<S>, SetupError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = rustls::pki_types::ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| SetupError::Host(host.to_owned()))?;
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream))
}
