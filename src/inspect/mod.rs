//! The code behind `outstation log` and `outstation quarantine list`: it inspects a log beside its daemon
//! or without one.
//!
//! ```text
//!  LogView ─pages▶ readings ─Dated▶ lines ─text▶ OutputFile     show, export, quarantine
//!     └─ heads, state ▶ stat        └─ everything ▶ verify
//!  DamagedLogReader ─segments▶ readings ─────────────────▶ OutputFile     salvage
//! ```
//!
//! Nothing here writes to a log, and no transaction stays open while the code waits.

mod error;
mod subject;

// How a log is shown.
pub mod lines;
pub mod output;
pub mod readings;
pub mod words;

// What each command shows.
pub mod events;
pub mod export;
pub mod quarantine;
pub mod recent;
pub mod salvage;
pub mod show;
pub mod stat;
pub mod verify;

pub use error::InspectError;
pub use subject::{Subject, UNKNOWN_DEVICE};
