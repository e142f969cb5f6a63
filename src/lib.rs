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
//! The table *Code map* of `docs/develop/code-map.md` says where things are; its table *Module layers* says
//! which module may use which, and `tests/tidy` checks the code against it.

// The nouns and the decisions.
pub mod domain;

// The stages, along the flow of data.
pub mod event_log;
pub mod ingest;
pub mod upload;

// Shared by the sinks.
pub mod encoding;
pub mod transport;

// Both ends of the flow: the protocols of ports, and the sinks.
pub mod protocols;
pub mod sinks;

// The parts that run and configure the stages.
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

// The interfaces for people and scripts.
pub mod cli;
pub mod http;
pub mod inspect;
pub mod status;

// The reference receiver, and two programs that play a whole site.
pub mod bench;
pub mod collect;
pub mod demo;

// Shared by the tests of several modules.
#[cfg(test)]
mod test_kit;
