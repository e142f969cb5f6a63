//! Takes events and writes them to journald or stderr, without making the daemon wait.

pub(super) mod format;
mod journal;
pub(super) mod output;
mod queue;
pub(super) mod record;
mod repeats;
pub(super) mod writer;
