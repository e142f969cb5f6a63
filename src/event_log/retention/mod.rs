//! What leaves the log, and what becomes smaller in it.

pub(super) mod compaction;
pub(super) mod room;
