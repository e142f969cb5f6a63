//! Puts together what the stages report, for people and for Prometheus.
//!
//! ```text
//!  event_log, ingest, upload ──watch──▶ board ──▶ Snapshot ──▶ health, page, metrics, status_line
//! ```
//!
//! Taking a snapshot copies the current statuses and never waits. Serving the pages is left to `http`, and
//! sending the status line to systemd to `supervisor`.

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
