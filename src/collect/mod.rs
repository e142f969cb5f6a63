//! The reference receiver behind `outstation collect`, for demos, tests and small sites.
//!
//! ```text
//!  POST ─▶ server ─▶ reception ─body─▶ store ▶ decode ▶ intake ▶ commit ─▶ 200 {"accepted":…}
//!                    token, limits     one transaction: all or nothing └─ watch: Stats ─▶ /stats
//! ```
//!
//! The status 200 is sent only after the commit, so a sender that receives it may delete the readings. A
//! sender that does not receive it sends them again, and (device, epoch, seq), for events (device, epoch,
//! position), shows that they are repeats. `/stats` and `/health` read watched state and never wait for the
//! database.
//!
//! A [`Store`] outlives its [`Collector`]: a new collector bound to the same store continues where the
//! stopped one ended. The demo scripts its outage this way.

mod collector;

// From the socket to the transaction.
mod reception;
mod server;
mod store;
mod upload;

// Decoding.
mod decode;
mod events;
mod limits;
mod line_time;
mod lines;
mod packed;

// Writing to the tables.
mod account;
mod cells;
mod intake;
mod tally;

// Answers.
mod refusal;
mod stats;

pub use collector::{CollectError, Collector, CollectorConfig};
pub use stats::{DeviceStats, Stats};
pub use store::{Store, StoreError};

#[cfg(test)]
mod tests;
