//! Logs and metrics: the named events that they are made of, and where they go.
//!
//! Under systemd, log records go to journald with structured fields; elsewhere to stderr, as text for
//! people or as JSON for machines. WARN: nothing was lost. ERROR: something was lost, or a person is
//! needed.
//!
//! ```text
//!  stages ──events──▶ tracing ──▶ records ──▶ journald or stderr
//!            └──────▶ metrics ──▶ counts ───▶ the page of metrics (`status`)
//! ```
//!
//! Stages know only `events`, and neither the words of the journal nor the names of metrics.

pub mod events;
mod filter;
mod logging;
mod records;

pub(crate) mod counts;
pub mod metric_names;

pub use filter::{LogFilter, NotAFilter};
pub use logging::{LEVEL_VARIABLE, LogFormat, TelemetryError, fail, init, set_level};
pub use records::format::harmless;
pub use records::writer::Logging;
