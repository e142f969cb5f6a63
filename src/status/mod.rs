//! What the stages report, put together for people and for Prometheus.
//!
//! ```text
//!  event_log, ingest, upload ──watch──▶ board ──▶ Snapshot ──▶ health, page, metrics, status_line
//! ```
//!
//! Taking a snapshot copies what is on the board and waits for nobody. How a page is served is left to
//! `http`, and to whom systemd's status line goes to `supervisor`.

pub mod board;
pub mod health;
pub mod metrics;
pub(crate) mod page;
pub mod status_line;

mod exposition;
mod file_system;
mod process;

#[cfg(test)]
pub(crate) mod test_site;
