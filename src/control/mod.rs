//! The control socket, by which a person changes something in the log of a running daemon.
//!
//! ```text
//!  outstation quarantine replay | drop ─▶ client ─QuarantineOrder, one line▶ server ─▶ Curator ▶ EVENT LOG
//!                                            ◀─OrderAnswer, one line─
//! ```
//!
//! The socket lies in the file system beside the log and has the permissions of the log: only root and the
//! user of the daemon may ask for changes, and no client on the network can. The local port stays
//! read-only.

pub mod client;
mod protocol;
pub mod server;

pub use protocol::OrderAnswer;

#[cfg(test)]
mod tests;
