//! Batches as text that servers of others take.

pub mod influx;
pub mod json;
