//! The reference receiver behind `outstation collect`: for demos, tests and small sites.
//!
//! ```text
//!  POST ─▶ server ─▶ reception ─body─▶ store ▶ decode ▶ intake ▶ commit ─▶ 200 {"accepted":…}
//!                    token, limits     one transaction: all or nothing └─ watch: Stats ─▶ /stats
//! ```
//!
//! A 200 is said only after the commit, so a sender that hears it may forget. A sender that does
//! not hear it sends again, and (device, epoch, seq), for events (device, epoch, position), makes the
//! second time a repeat. `/stats` and `/health` read watched state and never wait for the database.
//!
//! A [`Store`] outlives its [`Collector`]: stop one, bind another to the same store, and it goes on
//! where the first ended. The demo scripts its outage this way.

mod collector;

// From the socket to the transaction.
mod reception;
mod server;
mod store;
mod upload;

// What the bytes mean.
mod decode;
mod events;
mod limits;
mod line_time;
mod lines;
mod packed;

// What is written of it.
mod account;
mod cells;
mod intake;
mod tally;

// What is said in return.
mod refusal;
mod stats;

pub use collector::{CollectError, Collector, CollectorConfig};
pub use stats::{DeviceStats, Stats};
pub use store::{Store, StoreError};

#[cfg(test)]
mod tests;
