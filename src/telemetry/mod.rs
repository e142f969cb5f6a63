//! Logs and metrics: where they go, and the named events they are made of.
//!
//! Under systemd records go to journald with structured fields; elsewhere to stderr, as text for
//! people or JSON for machines. WARN: nothing was lost. ERROR: something was, or a person is needed.

//!
//! ```text
//!  stages ──events──▶ tracing ──▶ records ──▶ journald or stderr
//!            └──────▶ metrics ──▶ counts ───▶ the page of metrics (`status`)
//! ```
//!
//! Stages know `events` only: neither the words of the journal nor the names of metrics.

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
