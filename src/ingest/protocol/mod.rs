//! How bytes become readings: one file or folder per protocol, and what all of them do in `interface`.
//! A protocol never opens a port, never waits, never logs, and knows no other protocol.

pub(super) mod interface;

pub(super) mod lines;
pub(super) mod postcard;

mod formats;
mod sensor_clock;
