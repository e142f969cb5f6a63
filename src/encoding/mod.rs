//! Encodings of batches as text, in forms that other servers accept. The stored form is in the crate
//! `codec`; compression and delivery are left to the sinks.

pub mod influx;
pub mod json;
