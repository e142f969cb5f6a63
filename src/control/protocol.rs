//! The protocol of the control socket: one line each way, a [`QuarantineOrder`] and its [`OrderAnswer`].

use serde::{Deserialize, Serialize};

use crate::domain::model::quarantine::Done;
#[cfg(doc)]
use crate::domain::model::quarantine::QuarantineOrder;

/// The size of the longest request, which has some hundreds of ranges.
pub(super) const REQUEST_BYTES_MAX: u64 = 16 << 10;
/// The size of the longest answer, which has an entry for each sink.
pub(super) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The answer to a [`QuarantineOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderAnswer {
    /// The order was carried out and committed.
    Done(Vec<Done>),
    /// Nothing was changed, or not yet; the text says which, and what to do.
    Error(String),
}
