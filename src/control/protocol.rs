//! What is said over the control socket: one line each way, a [`QuarantineOrder`] and its
//! [`OrderAnswer`].

use serde::{Deserialize, Serialize};

use crate::domain::model::quarantine::Done;
#[cfg(doc)]
use crate::domain::model::quarantine::QuarantineOrder;

/// The longest request: some hundreds of ranges.
pub(super) const REQUEST_BYTES_MAX: u64 = 16 << 10;
/// The longest answer: a line for each sink.
pub(super) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What is said to a [`QuarantineOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderAnswer {
    /// It is durable.
    Done(Vec<Done>),
    /// Nothing was changed, or not yet; the text says which, and what to do.
    Error(String),
}
