//! From the log to upstream: one upload actor per sink.
//!
//! ```text
//!  log ◀─next── Uploader ──Offer▶ retry ▶ breaker ▶ deadline ▶ sink ──▶ upstream
//!      ◀──ack──     ▲                                           │
//!                   └───────────── Ok, or Refusal ◀─────────────┘
//! ```
//!
//! The uploader pulls; it holds one batch, and a batch leaves the log only when the sink has
//! accepted it. Sinks do not know of retries, retries do not know of HTTP.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::batch::Batch;
use crate::domain::breaker::{Cause, State};

pub mod actor;
pub mod breaker;
pub mod http_sink;
pub mod json;
pub mod stack;

/// What travels down the stack: cheap to clone, so that a retry offers the very same thing.
#[derive(Clone, Debug)]
pub struct Offer(pub Arc<Batch>);

/// What a sink took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Body bytes on the wire.
    pub bytes: u64,
}

/// Why an offer was not accepted. The readings stay in the log either way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not now: `after` is the server's own wish.
    #[error("{detail}")]
    Retry { cause: Cause, after: Option<Duration>, detail: String },
    /// Not this batch: the server answered that it will never take it.
    #[error("{detail}")]
    Rejected { detail: String },
}

/// A sink as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkStatus {
    pub name: String,
    pub url: String,
    pub breaker: State,
    /// When an open breaker will ask again, on the clock's `now`.
    pub retry_at: Option<Duration>,
    pub last_error: Option<String>,
    pub requests: u64,
    pub failures: u64,
    pub batches: u64,
    pub readings: u64,
    pub bytes: u64,
    /// Since the device booted.
    pub last_delivery_ms: Option<i64>,
}

impl SinkStatus {
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            breaker: State::Closed { failures: 0 },
            retry_at: None,
            last_error: None,
            requests: 0,
            failures: 0,
            batches: 0,
            readings: 0,
            bytes: 0,
            last_delivery_ms: None,
        }
    }
}
