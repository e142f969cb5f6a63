//! The answers to an upload other than 200, each with its status and reason.
//!
//! Senders act on the class of the status: 4xx means that the same bytes will never be accepted, so the
//! sender sets them aside; 5xx and 408 mean that they may be accepted later, so it keeps them.

use std::error::Error;

use hyper::StatusCode;
use tokio::task::JoinError;

use super::limits::Malformed;

#[derive(Debug, thiserror::Error)]
pub(super) enum UploadRefusal {
    #[error("a bearer token is required, and it is not the one shown")]
    Token,
    #[error(
        "content type is neither `application/vnd.outstation.packed` nor `application/x-ndjson`"
    )]
    MediaType,
    #[error("content encoding is not `zstd`, nor `gzip` for lines")]
    Encoding,
    #[error("more than {} MiB of {what}", .bytes_max >> 20)]
    TooLarge { what: &'static str, bytes_max: usize },
    #[error("failed to receive the body within {seconds} s")]
    Slow { seconds: u64 },
    #[error("failed to receive the body")]
    Cut(#[source] hyper::Error),
    #[error("malformed upload")]
    Malformed(#[from] Malformed),
    #[error("too many uploads are under way")]
    Busy,
    /// The sender is not at fault. The refusal ends when gaps are filled or old devices are deleted.
    #[error("the store keeps no more than {max} {what}")]
    Full { what: &'static str, max: usize },
    #[error("failed to store the upload")]
    Storage(#[from] rusqlite::Error),
    #[error("failed to read the account of device `{device}`")]
    Account { device: String, source: serde_json::Error },
    #[error("failed to finish storing the upload")]
    Crashed(#[source] JoinError),
}

impl UploadRefusal {
    /// The refusal of a body that exceeds its bound when it is decompressed.
    pub(super) fn inflated(bytes_max: usize) -> Self {
        Self::TooLarge { what: "decompressed body", bytes_max }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Cut(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Full { .. } | Self::Storage(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Account { .. } | Self::Crashed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error and its causes in one line.
    pub(super) fn reason(&self) -> String {
        let mut reason = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        reason
    }
}
