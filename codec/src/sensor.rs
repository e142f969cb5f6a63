//! What a device measures: sensors, their channels, and how many and how long they may be.

use serde::{Deserialize, Serialize};

use crate::value::ValueType;

/// The most channels one sensor may have. Hostile input invents keys without end; memory is not.
pub const CHANNELS_MAX: usize = 256;
/// The most sensors behind one port, for the same reason.
pub const SENSORS_MAX: usize = 1024;
/// The longest name of a sensor or channel, in bytes.
pub const NAME_MAX: usize = 64;

/// One measured quantity of a sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Unique within the sensor.
    pub name: String,
    /// UCUM or SI symbol as the sensor states it; empty when nobody said.
    pub unit: String,
    /// The widest kind of value it has shown.
    pub kind: ValueType,
}

/// One thing behind a port. Channels are only ever appended, so that an index stays valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    /// The port it is behind.
    pub port: String,
    /// Unique within the port.
    pub name: String,
    /// Values name them by their place here.
    pub channels: Vec<Channel>,
}
