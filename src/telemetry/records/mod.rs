//! From an event to bytes on journald's socket or stderr, holding nobody up.

pub(super) mod format;
pub(super) mod output;
pub(super) mod record;
pub(super) mod repeats;
pub(super) mod writer;
