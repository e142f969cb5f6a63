//! The local port: `/health`, `/ready`, `/metrics` and `/status` over HTTP.
//!
//! ```text
//!  client ─▶ LocalPort ─▶ Door ─▶ routes ─▶ one Snapshot of the board ─▶ page
//!            │            └ networks, TLS, passwords, how much one may ask
//!            └ connections, times and sizes are bounded here
//! ```
//!
//! A request reads what the actors have published and waits for nobody, so that a scrape cannot
//! block the pipeline and a stuck pipeline can still be looked at. Nothing can be changed here.
//! `fetch` is the other end, for our own command line.

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
