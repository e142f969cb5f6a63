//! The numbers received from one device in one epoch.

use crate::domain::model::interval_set::IntervalSet;

/// The numbers received from one device in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// The sequence numbers of the readings.
    pub(super) readings: IntervalSet,
    pub(super) repeats: u64,
    /// The first number of the epoch; lower numbers belong to an earlier one.
    pub(super) begins: u64,
    /// The positions of the events.
    pub(super) events: IntervalSet,
    pub(super) event_repeats: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let (readings, events) = (IntervalSet::default(), IntervalSet::default());
        Self { readings, repeats: 0, begins: 1, events, event_repeats: 0 }
    }
}
