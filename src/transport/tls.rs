//! The meaning of a TLS failure for delivery, and what a person can do about it. `credentials/tls.rs` reads
//! the certificates.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::clock::Clock;
use crate::config::TlsFiles;
#[cfg(feature = "link")]
pub(crate) use crate::credentials::tls::{ClientConfig, connect};
pub(crate) use crate::credentials::tls::{FilesStamp, client_config};
use crate::domain::model::boots::rfc3339;
use crate::domain::policy::breaker::Cause;
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError};

/// A TLS failure of a connection. Most of these need a person, while other failures of a connection are
/// transient.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    /// The board's clock, given in Unix milliseconds, is before the start of the certificate's validity.
    #[error(
        "the certificate of the server is not valid{}; the board's clock shows {}: is it set?",
        Moment("before", *.not_before), rfc3339(*.board_ms)
    )]
    NotValidYet { not_before: Option<UnixTime>, board_ms: i64 },
    #[error(
        "the certificate of the server expired{}; the board's clock shows {}: if that is right, the \
         server needs a new one", Moment("at", *.not_after), rfc3339(*.board_ms)
    )]
    Expired { not_after: Option<UnixTime>, board_ms: i64 },
    #[error(
        "the certificate of the server is not signed by an authority that the built-in Mozilla roots \
         know; name the certificate of its authority in `ca_file`"
    )]
    UnknownToMozilla,
    #[error(
        "the certificate of the server is not signed by an authority in `ca_file`; is it the right \
         file?"
    )]
    UnknownToCaFile,
    #[error("the certificate of the server is for another name than the one in `url`")]
    OtherName,
    #[error(
        "the certificate of the server is not for `{wanted}`, as in `url`, but for {}",
        .names.join(", ")
    )]
    OtherNames { wanted: String, names: Vec<String> },
    #[error(
        "the server wants to see a certificate of ours ({0:?}); set `cert_file` and `key_file`"
    )]
    NoCertificate(AlertDescription),
    #[error("the server refuses our certificate as expired; renew `cert_file`")]
    OwnExpired,
    #[error(
        "the server refuses our certificate ({0:?}); is `cert_file` from an authority it knows?"
    )]
    OwnRefused(AlertDescription),
    #[error(
        "what answers does not speak TLS; should `url` have another port, or a scheme without TLS? \
         ({0})"
    )]
    NotTls(rustls::Error),
    /// The server reports an internal error.
    #[error(transparent)]
    ServerTrouble(rustls::Error),
    /// The data was corrupted on the way, which is transient.
    #[error(transparent)]
    Mangled(rustls::Error),
    #[error(transparent)]
    Other(rustls::Error),
}

impl TlsFault {
    /// The TLS failure among the causes of an error, if there is one. `files` are the TLS files of the
    /// sink.
    pub(crate) fn behind(error: &(dyn Error + 'static), files: &TlsFiles) -> Option<Self> {
        Some(Self::of(error_in(error)?, files, Clock::system().wall_ms()))
    }

    fn of(error: &rustls::Error, files: &TlsFiles, wall_ms: i64) -> Self {
        let known = match error {
            rustls::Error::InvalidCertificate(reason) => {
                Self::of_certificate(reason, files, wall_ms)
            }
            rustls::Error::AlertReceived(AlertDescription::InternalError) => {
                Some(Self::ServerTrouble(error.clone()))
            }
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert, files),
            rustls::Error::InvalidMessage(_) => Some(Self::NotTls(error.clone())),
            rustls::Error::DecryptError => Some(Self::Mangled(error.clone())),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(error.clone()))
    }

    /// Why the server's certificate was not accepted.
    fn of_certificate(reason: &CertificateError, files: &TlsFiles, wall_ms: i64) -> Option<Self> {
        use CertificateError as E;
        Some(match reason {
            E::NotValidYet => Self::NotValidYet { not_before: None, board_ms: wall_ms },
            E::NotValidYetContext { time, not_before } => {
                Self::NotValidYet { not_before: Some(*not_before), board_ms: millis(*time) }
            }
            E::Expired => Self::Expired { not_after: None, board_ms: wall_ms },
            E::ExpiredContext { time, not_after } => {
                Self::Expired { not_after: Some(*not_after), board_ms: millis(*time) }
            }
            // A bad signature occurs when an authority was created again under its old name.
            E::UnknownIssuer | E::BadSignature => match files.ca_file {
                Some(_) => Self::UnknownToCaFile,
                None => Self::UnknownToMozilla,
            },
            E::NotValidForName => Self::OtherName,
            E::NotValidForNameContext { expected, presented } => Self::OtherNames {
                wanted: expected.to_str().into_owned(),
                names: presented.clone(),
            },
            _ => return None,
        })
    }

    /// Why the server closed the connection with an alert.
    fn of_alert(alert: AlertDescription, files: &TlsFiles) -> Option<Self> {
        use AlertDescription as A;
        let shown = files.identity().is_some();
        Some(match alert {
            A::CertificateRequired => Self::NoCertificate(alert),
            A::HandshakeFailure | A::BadCertificate | A::CertificateUnknown | A::AccessDenied
                if !shown =>
            {
                Self::NoCertificate(alert)
            }
            A::CertificateExpired => Self::OwnExpired,
            A::UnknownCA
            | A::BadCertificate
            | A::CertificateUnknown
            | A::AccessDenied
            | A::CertificateRevoked
            | A::UnsupportedCertificate
            | A::DecryptError
                if shown =>
            {
                Self::OwnRefused(alert)
            }
            _ => return None,
        })
    }
}

impl DeliveryError for TlsFault {
    fn class(&self) -> Class {
        Class::retry(match self {
            Self::ServerTrouble(_) => Cause::ServerBusy,
            Self::Mangled(_) => Cause::LinkDown,
            _ => Cause::Misconfigured,
        })
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::NotValidYet { .. } => {
                "the board's clock is behind: set it, and see that it can reach a time server"
            }
            Self::Expired { .. } => {
                "have the server's certificate renewed, or set the board's clock if it is ahead"
            }
            Self::OtherName | Self::OtherNames { .. } => {
                "use the host name in `url` that the server's certificate is made out to"
            }
            Self::NoCertificate(_) | Self::OwnExpired | Self::OwnRefused(_) => {
                "let `cert_file` and `key_file` name a certificate that the server accepts"
            }
            Self::NotTls(_) => "correct the scheme or the port of `url`",
            Self::UnknownToMozilla
            | Self::UnknownToCaFile
            | Self::Other(rustls::Error::InvalidCertificate(_)) => {
                "name the authority that signed the server's certificate in `ca_file`"
            }
            Self::ServerTrouble(_) | Self::Mangled(_) | Self::Other(_) => CHECK_SETTINGS,
        }
    }
}

/// Finds the TLS error among the causes of an error.
fn error_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error does not return the error it wraps as its `source`, and the connector wraps twice.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.map(|error| error as &(dyn Error + 'static));
    let within = |error: Option<&'a (dyn Error + 'static)>| error.and_then(error_in);
    error.downcast_ref().or_else(|| within(wrapped)).or_else(|| within(error.source()))
}

/// Displays a preposition and a time, or nothing if the time is not known.
struct Moment(&'static str, Option<UnixTime>);

impl fmt::Display for Moment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(time) => write!(to, " {} {}", self.0, rfc3339(millis(time))),
            None => Ok(()),
        }
    }
}

fn millis(time: UnixTime) -> i64 {
    let millis = Duration::from_secs(time.as_secs()).as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
