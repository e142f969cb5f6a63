//! How bytes become readings.

mod formats;
pub(super) mod lines;
pub(super) mod postcard;
mod sensor_clock;
