//! The urgency of a reading.

use serde::{Deserialize, Serialize};

/// The delivery class of a reading. The variants are in the order of urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Readings that cannot wait.
    Alarm,
    /// Readings as they come.
    #[default]
    Live,
    /// Readings that have waited: the backlog of an outage, and refused readings that are offered again.
    Backfill,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Alarm, Self::Live, Self::Backfill];

    /// All lanes, in the order in which their readings are evicted when there is no room.
    pub const LOWEST_FIRST: [Self; 3] = [Self::Backfill, Self::Live, Self::Alarm];

    /// The name of the lane in configuration, lines and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }
}
