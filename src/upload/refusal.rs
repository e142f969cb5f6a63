//! Why a sink did not accept a batch: the error itself, what it means for the batch, and what a person can
//! do.
//!
//! Each layer has its own errors: the status of an HTTP answer, a TLS failure, the reason code of a broker.
//! An error states its own class and remedy, travels up the stack unchanged, and becomes text only where it
//! is printed. No layer parses a message to learn what happened.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::policy::breaker::Cause;
use crate::error_chain::error_chain;

/// An error because of which a sink did not accept a batch.
pub trait DeliveryError: Error + Send + Sync + 'static {
    /// What the error means for the batch and for the breaker.
    fn class(&self) -> Class;

    /// What a person can do about the error: one sentence, fit for the end of a log line.
    fn remedy(&self) -> &'static str {
        CHECK_SETTINGS
    }
}

/// The remedy of errors that have no better one.
pub(crate) const CHECK_SETTINGS: &str = "check `url` and the credentials of this sink";

/// What an error means for the batch and for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The batch cannot be delivered now and stays pending. `after` is the wait that the server asks for.
    Retry { cause: Cause, after: Option<Duration> },
    /// The server has answered that it will never accept this batch.
    Rejected(Rejection),
}

impl Class {
    /// The class of a failure without a wait that the server asked for.
    pub const fn retry(cause: Cause) -> Self {
        Self::Retry { cause, after: None }
    }
}

/// Why a server rejects a batch for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Something in the batch. Dividing it finds the readings that are at fault.
    Content,
    /// The size of the batch. Its parts may be accepted.
    TooLarge,
    /// The time of every reading in the batch: the server does not accept readings that old, or the
    /// readings will never have a date. Dividing the batch would find nothing, and the rejection is no sign
    /// of a misconfiguration.
    Time,
}

/// Why an offer was not accepted. The readings stay in the log either way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkRefusal {
    /// The offer may succeed later; see [`Class::Retry`].
    #[error("{reason}")]
    Retry { cause: Cause, after: Option<Duration>, reason: Reason },
    /// The offer will never succeed; see [`Class::Rejected`].
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

/// The error behind a refusal, from any layer. Cloning is cheap.
///
/// `Display` prints the error and its causes on one line.
#[derive(Clone, Debug)]
pub struct Reason {
    error: Arc<dyn Error + Send + Sync>,
    remedy: &'static str,
}

impl Reason {
    pub fn new(error: impl DeliveryError) -> Self {
        Self { remedy: error.remedy(), error: Arc::new(error) }
    }

    /// The remedy of the error; see [`DeliveryError::remedy`].
    pub fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// Whether the error is of type `E`.
    pub fn is<E: DeliveryError>(&self) -> bool {
        self.error.is::<E>()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&error_chain(&*self.error))
    }
}

/// Errors of libraries cannot be compared, so two reasons are equal if they print the same text.
impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Reason {}

/// A batch that cannot be expressed in the sink's encoding.
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

/// The reason that a scripted server of a test gives.
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
