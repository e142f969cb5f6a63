//! TLS of the sinks that post: whom they trust, who they say they are, and what to do when it fails.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, InconsistentKeys, RootCertStore};

use super::http_access::{self, SetupError};
use crate::config::Access;
use crate::domain::boots::rfc3339;
use crate::domain::breaker::Cause;
use crate::telemetry::error_chain;

/// What the files looked like: a renewed certificate is used without a restart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, SystemTime)>; 3]);

impl Stamp {
    pub(super) fn of(access: &Access) -> Self {
        let files = [&access.ca_file, &access.cert_file, &access.key_file];
        Self(files.map(|path| {
            let metadata = std::fs::metadata(path.as_ref()?).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        }))
    }
}

pub(super) fn config(access: &Access) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?;
    let builder = match &access.ca_file {
        None => builder.with_webpki_roots(),
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    let Some((cert_file, key_file)) = access.cert_file.as_ref().zip(access.key_file.as_ref())
    else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = (certificates(cert_file)?, private_key(key_file)?);
    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            SetupError::Mismatch { certificate: cert_file.clone(), key: key_file.clone() }
        }
        error => SetupError::Tls(error),
    })
}

/// The authorities of one file and no others.
fn roots(path: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(SetupError::Tls)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let failed = |source| SetupError::Pem { path: path.to_owned(), source };
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(failed)?;
    if found.is_empty() {
        return Err(SetupError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

/// The cause is not shown: it might quote the file.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    let no_key = |_| SetupError::NoKey { path: path.to_owned() };
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(no_key)
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    let failed = |source| SetupError::Certificates { path: path.to_owned(), source };
    http_access::read(path).map_err(failed)
}

/// The TLS error among the causes of an error, if one is to blame.
pub(super) fn error_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error keeps what it wraps out of `source`, and the connector wraps twice.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.map(|error| error as &(dyn Error + 'static));
    let within = |error: Option<&'a (dyn Error + 'static)>| error.and_then(error_in);
    error.downcast_ref().or_else(|| within(wrapped)).or_else(|| within(error.source()))
}

/// Who has to do something about it, and what.
pub(super) fn explain(error: &rustls::Error, access: &Access, wall_ms: i64) -> (Cause, String) {
    let said = error_chain(error);
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            (Cause::Misconfigured, certificate(reason, access, wall_ms).unwrap_or(said))
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => (Cause::ServerBusy, said),
        rustls::Error::AlertReceived(alert) => {
            (Cause::Misconfigured, refused(*alert, access).unwrap_or(said))
        }
        rustls::Error::InvalidMessage(_) => {
            let hint = "the server does not speak TLS; should `url` begin with http:";
            (Cause::Misconfigured, format!("{hint} ({said})"))
        }
        // Mangled on its way, which heals by itself.
        rustls::Error::DecryptError => (Cause::LinkDown, said),
        _ => (Cause::Misconfigured, said),
    }
}

fn certificate(reason: &CertificateError, access: &Access, wall_ms: i64) -> Option<String> {
    use CertificateError as E;
    let whose = "the certificate of the server";
    Some(match reason {
        E::NotValidYet => not_valid_yet("", wall_ms),
        E::NotValidYetContext { time, not_before } => {
            not_valid_yet(&format!(" before {}", date(*not_before)), millis(*time))
        }
        E::Expired => expired("", wall_ms),
        E::ExpiredContext { time, not_after } => {
            expired(&format!(" at {}", date(*not_after)), millis(*time))
        }
        // The latter, when an authority was made anew under its old name.
        E::UnknownIssuer | E::BadSignature if access.ca_file.is_some() => {
            format!("{whose} is not signed by an authority in `ca_file`; is it the right file?")
        }
        E::UnknownIssuer | E::BadSignature => format!(
            "{whose} is not signed by an authority that the built-in Mozilla roots know; name the \
             certificate of its authority in `ca_file`"
        ),
        E::NotValidForName => format!("{whose} is for another name than the one in `url`"),
        E::NotValidForNameContext { expected, presented } => format!(
            "{whose} is not for `{}`, as in `url`, but for {}",
            expected.to_str(),
            presented.join(", ")
        ),
        _ => return None,
    })
}

fn not_valid_yet(before: &str, board_ms: i64) -> String {
    format!(
        "the certificate of the server is not valid{before}; the board's clock shows {}: is it set?",
        rfc3339(board_ms)
    )
}

fn expired(at: &str, board_ms: i64) -> String {
    format!(
        "the certificate of the server expired{at}; the board's clock shows {}: if that is right, \
         the server needs a new one",
        rfc3339(board_ms)
    )
}

/// What a server has against us.
fn refused(alert: AlertDescription, access: &Access) -> Option<String> {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {}
        A::HandshakeFailure | A::BadCertificate | A::CertificateUnknown | A::AccessDenied
            if access.cert_file.is_none() => {}
        A::CertificateExpired => {
            return Some("the server refuses our certificate as expired; renew `cert_file`".into());
        }
        A::UnknownCA
        | A::BadCertificate
        | A::CertificateUnknown
        | A::AccessDenied
        | A::CertificateRevoked
        | A::UnsupportedCertificate
        | A::DecryptError
            if access.cert_file.is_some() =>
        {
            return Some(format!(
                "the server refuses our certificate ({alert:?}); is `cert_file` from an authority it \
                 knows?"
            ));
        }
        _ => return None,
    }
    Some(format!(
        "the server wants to see a certificate of ours ({alert:?}); set `cert_file` and `key_file`"
    ))
}

fn date(time: UnixTime) -> String {
    rfc3339(millis(time)).to_string()
}

fn millis(time: UnixTime) -> i64 {
    let millis = Duration::from_secs(time.as_secs()).as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
