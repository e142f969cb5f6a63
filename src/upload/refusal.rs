//! Why a sink did not take a batch: what it means for the batch, and what happened.
//!
//! Each layer has errors of its own: the status of an answer, a fault of TLS, the code of a broker.
//! An error says its own class and its own remedy, travels up as it is, and becomes words where it is
//! printed. No layer reads a message to learn what happened.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::policy::breaker::Cause;
use crate::error_chain::error_chain;

/// An error that keeps a sink from taking a batch.
pub trait DeliveryError: Error + Send + Sync + 'static {
    fn class(&self) -> Class;

    /// What a person can do about it: one sentence, fit for the end of a log line.
    fn remedy(&self) -> &'static str {
        CHECK_SETTINGS
    }
}

/// The remedy where nothing better is known.
pub(crate) const CHECK_SETTINGS: &str = "check `url` and the credentials of this sink";

/// What an error means for the batch and for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not now: `after` is what the server asks for.
    Retry { cause: Cause, after: Option<Duration> },
    /// Not this batch: the server answered that it will never take it.
    Rejected(Rejection),
}

impl Class {
    /// Of a server that did not say when to come back.
    pub const fn retry(cause: Cause) -> Self {
        Self::Retry { cause, after: None }
    }
}

/// What a server has against a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Something in it.
    Content,
    /// Its size: parts of it may pass.
    TooLarge,
    /// The time of each reading in it: the server has moved past them, or they will never have a
    /// date. To divide it shows nothing, and it does not speak of a misconfiguration.
    Time,
}

/// Why an offer was not accepted. The readings stay in the log either way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkRefusal {
    /// See [`Class::Retry`].
    #[error("{reason}")]
    Retry { cause: Cause, after: Option<Duration>, reason: Reason },
    /// See [`Class::Rejected`].
    #[error("{reason}")]
    Rejected { what: Rejection, reason: Reason },
}

impl SinkRefusal {
    pub fn class(&self) -> Class {
        match self {
            Self::Retry { cause, after, .. } => Class::Retry { cause: *cause, after: *after },
            Self::Rejected { what, .. } => Class::Rejected(*what),
        }
    }

    pub fn reason(&self) -> &Reason {
        match self {
            Self::Retry { reason, .. } | Self::Rejected { reason, .. } => reason,
        }
    }
}

impl<E: DeliveryError> From<E> for SinkRefusal {
    fn from(error: E) -> Self {
        let class = error.class();
        let reason = Reason::new(error);
        match class {
            Class::Retry { cause, after } => Self::Retry { cause, after, reason },
            Class::Rejected(what) => Self::Rejected { what, reason },
        }
    }
}

/// The error behind a refusal, whichever layer it is of; cheap to clone.
///
/// Printed, it is the error with its causes on one line.
#[derive(Clone, Debug)]
pub struct Reason {
    error: Arc<dyn Error + Send + Sync>,
    remedy: &'static str,
}

impl Reason {
    pub fn new(error: impl DeliveryError) -> Self {
        Self { remedy: error.remedy(), error: Arc::new(error) }
    }

    /// See [`DeliveryError::remedy`].
    pub fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// Whether it is an error of this type.
    pub fn is<E: DeliveryError>(&self) -> bool {
        self.error.is::<E>()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&error_chain(&*self.error))
    }
}

/// Errors of libraries cannot be compared, so two reasons are the same if they read the same.
impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Reason {}

/// A batch that has no form in the sink's encoding.
#[derive(Debug, thiserror::Error)]
#[error("failed to encode the batch")]
pub(crate) struct Unencoded(#[source] Box<dyn Error + Send + Sync>);

impl Unencoded {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl DeliveryError for Unencoded {
    fn class(&self) -> Class {
        Class::Rejected(Rejection::Content)
    }
}

/// What a scripted server of a test says.
#[cfg(test)]
impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Said(String);

        impl DeliveryError for Said {
            fn class(&self) -> Class {
                Class::Rejected(Rejection::Content)
            }
        }

        Self::new(Said(text.to_owned()))
    }
}
