//! Encodings of batches as text, in forms that other servers accept.

pub mod influx;
pub mod json;
