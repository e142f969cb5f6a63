//! The control socket: how a person changes something in the log of a running daemon.
//!
//! ```text
//!  outstation quarantine replay | drop ─▶ client ─Order, one line▶ server ─▶ Curator ▶ EVENT LOG
//!                                            ◀─Answer, one line───
//! ```
//!
//! A socket in the file system beside the log, because that is where its permissions are: whoever may
//! write the log may ask for changes to it, and nobody on the network. The local port stays read-only.

use serde::{Deserialize, Serialize};

use crate::domain::model::quarantine::Done;

pub mod client;
pub mod server;

/// The longest request: some hundreds of ranges.
const REQUEST_BYTES_MAX: u64 = 16 << 10;
/// The longest answer: a line for each sink.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What is said to an [`Order`](crate::domain::model::quarantine::Order).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is durable.
    Done(Vec<Done>),
    /// Nothing was changed, or not yet; the text says which, and what to do.
    Error(String),
}

#[cfg(test)]
mod tests;
