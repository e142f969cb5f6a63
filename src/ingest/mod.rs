//! The intake: one actor per port reads bytes and hands readings to the log.
//!
//! ```text
//!  tty ─bytes▶ Decoder ─────────────────readings▶ Outbox ─Append▶ log
//!           │  └ of the port's protocol             └ bounded; what overflows is counted
//!           └▶ Tail: the bytes as read, until the log has what they gave
//! ```
//!
//! A port that is absent or lost is transient: its actor waits and tries again, and other ports are not
//! affected. Faults are counted by reason and never stop the line.

pub mod actor;
mod recovery;
mod status;

pub mod serial;
pub mod tail;

pub use status::{PortState, PortStatus};

#[cfg(test)]
mod tests;
