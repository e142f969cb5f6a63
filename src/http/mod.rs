//! The local port: `/health`, `/ready`, `/metrics` and `/status` over HTTP.
//!
//! ```text
//!  client ─▶ LocalPort ─▶ Door ─▶ routes ─▶ one Snapshot of the board ─▶ page
//!            │            └ checks networks, TLS, passwords and the rate of requests
//!            └ bounds connections, times and sizes
//! ```
//!
//! A request reads the statuses that the actors have published and never waits for an actor, so that a
//! scrape cannot block the pipeline and a stuck pipeline can still be inspected. The port is read-only.
//! `fetch` is the client that the command line uses.

mod server;

mod door;
mod pace;
mod refusals;
mod renewed;
mod users;

mod routes;

pub mod fetch;

pub use door::check;
pub use server::{HttpError, LocalPort};
