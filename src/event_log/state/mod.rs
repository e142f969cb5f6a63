//! The state that results from replaying the streams of the log, and the events staged for the next commit.

pub(super) mod aggregates;
pub(super) mod log_state;
pub(super) mod staging;
