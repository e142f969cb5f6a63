//! Discovery on the local network: boards announce their local port, and commands and sinks look for
//! services.
//!
//! ```text
//!  board:  announce ─▶ mdns ──multicast──▶ mdns ─▶ outstations ─▶ file_sd ─▶ Prometheus   : elsewhere
//! ```
//!
//! Multicast DNS has no authentication: any machine can answer. Answers are checked for their form and for
//! nothing else.

pub mod announce;
mod error;
pub mod file_sd;
pub mod mdns;
mod outstations;
pub mod srv;

pub use error::DiscoveryError;
pub use outstations::{Outstation, OutstationScheme, outstations};
