//! Removes readings from the log, and merges small segments.

pub(super) mod compaction;
pub(super) mod room;
