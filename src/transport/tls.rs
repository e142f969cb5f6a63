//! TLS of every sink: what to do when it fails.

use std::error::Error;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::credentials::SetupError;
#[cfg(any(feature = "mqtt", feature = "nats"))]
pub(crate) use crate::credentials::tls::{ClientConfig, connect};
pub(crate) use crate::credentials::tls::{Stamp, client_config};
use crate::domain::model::boots::rfc3339;
use crate::domain::policy::breaker::Cause;
use crate::error_chain::error_chain;
use crate::upload::Refusal;

impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        Self::retry(Cause::Misconfigured, error_chain(&error))
    }
}

/// What a connection that failed has to do with TLS, if anything: most of it is a person's business,
/// where the rest is weather.
pub(crate) fn refusal(error: &(dyn Error + 'static), files: &TlsFiles) -> Option<Refusal> {
    let (cause, detail) = explain(error_in(error)?, files, Clock::system().wall_ms());
    Some(Refusal::retry(cause, detail))
}

/// The TLS error among the causes of an error, if one is to blame.
fn error_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error keeps what it wraps out of `source`, and the connector wraps twice.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.map(|error| error as &(dyn Error + 'static));
    let within = |error: Option<&'a (dyn Error + 'static)>| error.and_then(error_in);
    error.downcast_ref().or_else(|| within(wrapped)).or_else(|| within(error.source()))
}

/// Who has to do something about it, and what.
fn explain(error: &rustls::Error, files: &TlsFiles, wall_ms: i64) -> (Cause, String) {
    let said = error_chain(error);
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            (Cause::Misconfigured, certificate(reason, files, wall_ms).unwrap_or(said))
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => (Cause::ServerBusy, said),
        rustls::Error::AlertReceived(alert) => {
            (Cause::Misconfigured, refused(*alert, files).unwrap_or(said))
        }
        rustls::Error::InvalidMessage(_) => {
            let hint = "what answers does not speak TLS; should `url` have another port, or a \
                        scheme without TLS";
            (Cause::Misconfigured, format!("{hint}? ({said})"))
        }
        // Mangled on its way, which heals by itself.
        rustls::Error::DecryptError => (Cause::LinkDown, said),
        _ => (Cause::Misconfigured, said),
    }
}

fn certificate(reason: &CertificateError, files: &TlsFiles, wall_ms: i64) -> Option<String> {
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
        E::UnknownIssuer | E::BadSignature if files.ca_file.is_some() => {
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
fn refused(alert: AlertDescription, files: &TlsFiles) -> Option<String> {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {}
        A::HandshakeFailure | A::BadCertificate | A::CertificateUnknown | A::AccessDenied
            if files.identity.is_none() => {}
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
            if files.identity.is_some() =>
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
