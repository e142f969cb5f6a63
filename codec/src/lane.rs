//! How urgent a reading is.

use serde::{Deserialize, Serialize};

/// Delivery class, the most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What cannot wait.
    Alarm,
    /// Readings as they come.
    #[default]
    Live,
    /// What the device has caught up on.
    Backfill,
}

impl Lane {
    /// The most urgent first.
    pub const ALL: [Self; 3] = [Self::Alarm, Self::Live, Self::Backfill];

    /// In the order in which they have to go when there is no room.
    pub const LOWEST_FIRST: [Self; 3] = [Self::Backfill, Self::Live, Self::Alarm];

    /// The word for it in configuration, lines and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }
}
