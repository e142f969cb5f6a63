//! From bytes to readings: one ingest actor per port.
//!
//! ```text
//!  tty ─bytes▶ Decoder ─────────────────readings▶ Outbox ─Append▶ log
//!           │  └ of the port's protocol             └ bounded; what overflows is counted
//!           └▶ Tail: the bytes as read, until the log has what they gave
//! ```
//!
//! A port that is absent or vanishes is transient: the actor waits and tries again, and no other
//! port notices. Faults are counted by reason and never stop the line.

pub mod actor;
mod recovery;
mod status;

pub mod serial;
pub mod tail;

pub use status::{PortState, PortStatus};

#[cfg(test)]
mod tests;
