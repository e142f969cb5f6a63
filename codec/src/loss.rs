//! The reasons why a reading is lost.

use serde::{Deserialize, Serialize};

/// The reason why a reading was lost. Every lost reading has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Loss {
    /// The log did not keep up, and the bounded buffer before it was full.
    Overflow,
    /// The log was full and made room.
    Evicted,
    /// The storage returned other bytes than were written.
    Damaged,
    /// A sink refused the reading, and it is no longer kept.
    Refused,
}

impl Loss {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Overflow, Self::Evicted, Self::Damaged, Self::Refused];

    /// The label in metrics, logs and `/status`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Evicted => "evicted",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
        }
    }
}
