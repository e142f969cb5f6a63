//! What was received of one epoch of a device, as numbers.

use crate::domain::model::interval_set::IntervalSet;

/// What was received in one epoch of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sequence numbers.
    pub(super) readings: IntervalSet,
    pub(super) repeats: u64,
    /// The first number of the epoch: those before it came under an earlier one, if they came.
    pub(super) begins: u64,
    /// Positions.
    pub(super) events: IntervalSet,
    pub(super) event_repeats: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let (readings, events) = (IntervalSet::default(), IntervalSet::default());
        Self { readings, repeats: 0, begins: 1, events, event_repeats: 0 }
    }
}
