//! Who is on the local network: boards that announce their local port, and who looks for them.
//!
//! ```text
//!  board:  announce ─▶ mdns ──multicast──▶ mdns ─▶ outstations ─▶ file_sd ─▶ Prometheus   : elsewhere
//! ```
//!
//! Multicast DNS believes whoever answers. What is heard is checked for its form and for nothing else.

pub mod announce;
mod error;
pub mod file_sd;
pub mod mdns;
mod outstations;
pub mod srv;

pub use error::DiscoveryError;
pub use outstations::{Outstation, OutstationScheme, outstations};
