//! Why a reading never arrives.

use serde::{Deserialize, Serialize};

/// Why a reading was lost. Every lost reading has exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Loss {
    /// The log did not keep up and the bounded buffer before it was full.
    Overflow,
    /// The log was full and made room.
    Evicted,
    /// The storage returned something else than was written.
    Damaged,
    /// A sink refused it and it is kept no longer.
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
