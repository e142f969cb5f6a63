//! The reasons why a measurement failed.

use std::io;
use std::time::Duration;

use crate::event_log::LogClosed;
use crate::event_log::store::error::StorageError;
use crate::http::fetch::FetchError;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("failed to {operation}")]
    System { operation: &'static str, source: io::Error },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Log(#[from] LogClosed),
    #[error("the daemon ended or answered something else than its status: {answer}")]
    Status { answer: String },
    #[error("after {waited:?} only {delivered} of {sent} readings were delivered")]
    Stuck { waited: Duration, delivered: u64, sent: u64 },
}
