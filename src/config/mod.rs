//! Configuration: from the text a person wrote to values the daemon can trust.
//!
//! ```text
//! file ─text▶ TOML tables ─Section + Kind▶ Config          (error: every mistake, with line and key)
//!                                          Config ─print▶ the effective configuration, again TOML
//! ```
//!
//! What may be written is decided here and nowhere else: a `Config` in hand is complete, in range and
//! free of contradictions. Whether a port can be opened or a sink answers is left to the stages.
//!
//! Each key is stated once, as a row of its section's table (`reader/table.rs`): its type, bounds, default
//! and sentence, and whether a reload may change it. Reading, printing and messages come from it, and so do
//! `config/outstation.toml`, the reference page of the documentation (`reference`) and the JSON Schema
//! (`schema`).
//!
//! `whole` is the file; `port` and `sink` stand above the protocols and the kinds of sinks, which have tables
//! of their own. What these and the other rooms build on is below: `reader`, between the text and typed
//! values, and `part`, the sections and groups of keys that stand on their own: `[device]`, `[log]`,
//! `[telemetry]` and `[supervisor]` in `part/daemon.rs`.

pub(crate) mod part;
mod port;
pub(crate) mod reader;
pub mod reference;
pub mod schema;
mod sink;
mod warnings;
mod whole;

pub use part::alarm::Alarm;
pub use part::daemon::{Device, EventLog, Supervisor, Telemetry};
pub use part::http::{Http, ServerTls};
pub use part::http_access::{Access, is_ours};
pub use part::network::Network;
pub use part::pace::Pace;
pub use part::tls_files::TlsFiles;
pub use part::url::{Addresses, Discovered, Via};
pub use port::{DataBits, FlowControl, LineSettings, Parity, Port, StopBits};
pub use reader::error::{ConfigError, Problem};
pub use reader::keys::{Condition, Example, Key, SectionKeys, Variant, Variants, Without};
pub use sink::Sink;
pub use warnings::warnings;
pub use whole::{Config, sections};

#[cfg(test)]
mod tests;
