//! From bytes to readings: one ingest actor per port.
//!
//! ```text
//!  tty ─bytes▶ Decoder ─────────────────readings▶ Outbox ─Append▶ log
//!           │  ├ postcard: deframe, describe        └ bounded; what overflows is counted
//!           │  └ lines: split, parse (json | key-value | csv)
//!           └▶ Tail: the bytes as read, until the log has what they gave
//! ```
//!
//! A port that is absent or vanishes is transient: the actor waits and tries again, and no other
//! port notices. Faults are counted by reason and never stop the line.

pub mod actor;
mod outbox;
mod recovery;
mod status;

mod decoder;
mod partial;
mod protocol;

pub mod serial;
pub mod tail;

pub use decoder::Decoder;
pub use outbox::Outbox;
pub use partial::Partial;
pub use status::{PortState, PortStatus};

#[cfg(test)]
mod tests;
