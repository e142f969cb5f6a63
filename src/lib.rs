//! The field end of a telemetry system: reads serial sensors, keeps every reading in a durable log,
//! delivers the log upstream whenever the link allows, and accounts for every reading.
//!
//! ```text
//!  tty ─bytes▶ decoder ─readings▶ outbox ─append▶ appender ▶ EVENT LOG ◀ reader ◀pull─ uploader ─batch▶ stack ─▶ sink ─▶ upstream
//!              └──────── ingest (one per port) ─────────┘  own thread             └── upload (one per sink) ──┘
//!                                                     watch: status ─────────────────▶ wakes the uploader
//!                                   delivery state ◀── ack ◀── only on accepted
//! ```
//!
//! Where to look for what is the table *Code map* of `docs/develop/code-map.md`; which module may use which
//! is its table *Module layers*, and `tests/tidy` holds the code to it.

// The nouns and the decisions.
pub mod domain;

// The stages, along the flow.
pub mod event_log;
pub mod ingest;
pub mod upload;

// What sinks share.
pub mod encoding;
pub mod transport;

// Where it begins and ends: what ports speak, and the sinks.
pub mod protocols;
pub mod sinks;

// What carries them.
pub mod app;
pub mod clock;
pub mod config;
pub mod console;
pub mod control;
pub mod credentials;
pub mod device;
pub mod discovery;
pub mod error_chain;
pub mod supervisor;
pub mod telemetry;

// What shows them.
pub mod cli;
pub mod http;
pub mod inspect;
pub mod status;

// The other end of the wire, and two programs that play a whole site.
pub mod bench;
pub mod collect;
pub mod demo;

// What tests of several modules stand on.
#[cfg(test)]
mod test_kit;
