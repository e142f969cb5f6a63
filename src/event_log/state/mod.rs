//! What replaying the streams of the log gives, and what is staged for the next commit.

pub(super) mod aggregates;
pub(super) mod log_state;
pub(super) mod staging;
