//! Services on the local network, by multicast DNS (RFC 6762, RFC 6763).
//!
//! This needs the cargo feature `mdns`. A build without it refuses a configuration that needs it, and has
//! functions that fail with the reason instead, so that no other module depends on the feature.

#[cfg(not(feature = "mdns"))]
mod left_out;
#[cfg(feature = "mdns")]
mod multicast;
mod service;

#[cfg(not(feature = "mdns"))]
pub use left_out::{Announcement, Browser, MdnsError, has_network};
#[cfg(feature = "mdns")]
pub use multicast::{Announcement, Browser, MdnsError, has_network};
pub use service::{COLLECTOR, METRICS, METRICS_TLS, MdnsService};
