//! The local port: `/health`, `/ready`, `/metrics` and `/status` over HTTP.
//!
//! ```text
//!  client ─▶ LocalPort ─▶ routes ─▶ one Snapshot of the board ─▶ page
//!            └ connections, times and sizes are bounded here
//! ```
//!
//! A request reads what the actors have published and waits for nobody, so that a scrape cannot
//! block the pipeline and a stuck pipeline can still be looked at. Nothing can be changed here.
//! `fetch` is the other end, for our own command line.

pub mod fetch;
mod routes;
mod server;
mod status;

pub use server::{HttpError, LocalPort};
