//! Sensors and their channels, with the bounds on their number and names.

use serde::{Deserialize, Serialize};

use crate::value::ValueType;

/// The largest number of channels of one sensor. Hostile input can invent any number of keys; memory is
/// bounded.
pub const CHANNELS_MAX: usize = 256;
/// The largest number of sensors behind one port, for the same reason.
pub const SENSORS_MAX: usize = 1024;
/// The longest name of a sensor or channel, in bytes.
pub const NAME_MAX: usize = 64;

/// One measured quantity of a sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The name, unique within the sensor.
    pub name: String,
    /// The unit as a UCUM or SI symbol, as the sensor states it; empty if it states none.
    pub unit: String,
    /// The widest type of its values so far.
    pub kind: ValueType,
}

/// One thing behind a port. Channels are only ever appended, so that an index stays valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    /// The name of its port.
    pub port: String,
    /// The name, unique within the port.
    pub name: String,
    /// The channels; values refer to them by index.
    pub channels: Vec<Channel>,
}
