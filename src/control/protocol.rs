//! What is said over the control socket: one line each way, an [`Order`] and its [`Answer`].

use serde::{Deserialize, Serialize};

use crate::domain::model::quarantine::Done;
#[cfg(doc)]
use crate::domain::model::quarantine::Order;

/// The longest request: some hundreds of ranges.
pub(super) const REQUEST_BYTES_MAX: u64 = 16 << 10;
/// The longest answer: a line for each sink.
pub(super) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What is said to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is durable.
    Done(Vec<Done>),
    /// Nothing was changed, or not yet; the text says which, and what to do.
    Error(String),
}
