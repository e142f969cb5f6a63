//! Why a sink did not take a batch, and what that means for the batch.

use std::fmt;
use std::time::Duration;

use crate::domain::policy::breaker::Cause;

/// Why an offer was not accepted. The readings stay in the log either way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not now: `after` is the server's own wish.
    #[error("{detail}")]
    Retry { cause: Cause, after: Option<Duration>, detail: String },
    /// Not this batch: the server answered that it will never take it.
    #[error("{detail}")]
    Rejected { what: Rejection, detail: String },
}

impl Refusal {
    /// Of a server that did not say when to come back.
    pub(crate) fn retry(cause: Cause, detail: impl Into<String>) -> Self {
        Self::Retry { cause, after: None, detail: detail.into() }
    }

    /// For something in the batch.
    pub(crate) fn rejected(detail: impl Into<String>) -> Self {
        Self::Rejected { what: Rejection::Content, detail: detail.into() }
    }

    /// It has no form in the sink's encoding.
    pub(crate) fn unencoded(error: impl fmt::Display) -> Self {
        Self::rejected(format!("failed to encode the batch: {error}"))
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
