//! The control socket: how a person changes something in the log of a running daemon.
//!
//! ```text
//!  outstation quarantine replay | drop ─▶ client ─QuarantineOrder, one line▶ server ─▶ Curator ▶ EVENT LOG
//!                                            ◀─OrderAnswer, one line─
//! ```
//!
//! A socket in the file system beside the log, because that is where its permissions are: whoever may
//! write the log may ask for changes to it, and nobody on the network. The local port stays read-only.

pub mod client;
mod protocol;
pub mod server;

pub use protocol::OrderAnswer;

#[cfg(test)]
mod tests;
