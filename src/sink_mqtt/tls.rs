//! TLS of the `mqtt` sink: whom it trusts, and what it shows of itself.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::access::SetupError;
use super::connection::Io;

#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files anew, so that they can be replaced while the daemon runs.
    pub(super) fn read(
        ca_file: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?;
        let trusting = match ca_file {
            None => builder.with_webpki_roots(),
            Some(path) => builder.with_root_certificates(authorities(path)?),
        };
        let config = match identity {
            None => trusting.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let failed = |source| SetupError::Key { path: key.to_owned(), source };
                let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
                trusting.with_client_auth_cert(chain, key).map_err(SetupError::Tls)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Encrypts what goes to this host, once it has shown that it is the one.
    pub(super) async fn over(self, io: impl Io + 'static, host: &str) -> io::Result<Box<dyn Io>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::other(rustls::Error::UnsupportedNameType))?;
        Ok(Box::new(TlsConnector::from(self.0).connect(name, io).await?))
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(SetupError::Tls)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let failed = |source| SetupError::Certificates { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    match found.is_empty() {
        true => Err(SetupError::NoCertificate { path: path.to_owned() }),
        false => Ok(found),
    }
}

/// Whether it is TLS that failed, and not the link.
pub(super) fn is_to_blame(error: &(dyn Error + 'static)) -> bool {
    // An I/O error keeps what it wraps out of `source`.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|error| is_to_blame(error))
}
