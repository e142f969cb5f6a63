//! The nouns of a measurement: channels, sensors, values, readings.
//!
//! A [`Readings`] is what ingest hands to the log: a run of readings in arrival order together
//! with the sensors they refer to, so that it can be understood without asking back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The most channels one sensor may have. Hostile input invents keys without end; memory is not.
pub const CHANNELS_MAX: usize = 256;
/// The most sensors behind one port, for the same reason.
pub const SENSORS_MAX: usize = 1024;
/// The longest name of a sensor or channel, in bytes.
pub const NAME_MAX: usize = 64;

/// What kind of value a channel carries, each wider than the one before: a channel that has shown
/// several is of the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Bool,
    Int,
    F32,
    F64,
    Text,
}

/// One measured quantity of a sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub name: String,
    /// UCUM or SI symbol as the sensor states it; empty when nobody said.
    pub unit: String,
    pub kind: ValueType,
}

/// One thing behind a port. Channels are only ever appended, so that an index stays valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    pub port: String,
    pub name: String,
    pub channels: Vec<Channel>,
}

/// One observed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Int(i64),
    F32(f32),
    F64(f64),
    /// Shared, because a state repeats: `ok`, `ok`, `ok`.
    Text(Arc<str>),
}

impl Value {
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::Int(_) => ValueType::Int,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Text(_) => ValueType::Text,
        }
    }
}

/// Which clock a timestamp was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeBase {
    /// Milliseconds since this boot of the device; dated later through a clock anchor.
    Boot,
    /// Milliseconds since 1970 UTC, stated by the sensor itself.
    Unix,
}

/// When a reading was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub base: TimeBase,
    pub ms: i64,
}

impl Stamp {
    pub fn boot(ms: i64) -> Self {
        Self { base: TimeBase::Boot, ms }
    }

    pub fn unix(ms: i64) -> Self {
        Self { base: TimeBase::Unix, ms }
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    sensor: u32,
    stamp: Stamp,
    cells_end: u32,
}

/// Readings in arrival order, with the sensors they refer to by index.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    sensors: Vec<Arc<Sensor>>,
    rows: Vec<Row>,
    cells: Vec<(u16, Value)>,
}

impl Readings {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn sensors(&self) -> &[Arc<Sensor>] {
        &self.sensors
    }

    /// How many values they have.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Adds one reading; `cells` are (channel index of the sensor, value).
    pub fn push(
        &mut self,
        sensor: &Arc<Sensor>,
        stamp: Stamp,
        cells: impl IntoIterator<Item = (u16, Value)>,
    ) {
        self.cells.extend(cells);
        let sensor = self.sensor_index(sensor);
        let cells_end =
            u32::try_from(self.cells.len()).expect("a buffer is bounded far below 2^32 cells");
        self.rows.push(Row { sensor, stamp, cells_end });
    }

    /// Visits (sensor index, stamp, cells) in arrival order, giving the values away.
    pub fn drain(
        &mut self,
        mut visit: impl FnMut(usize, Stamp, &mut dyn Iterator<Item = (u16, Value)>),
    ) {
        let mut cells = self.cells.drain(..);
        let mut start = 0;
        for row in self.rows.drain(..) {
            let count = (row.cells_end - start) as usize;
            start = row.cells_end;
            let mut own = cells.by_ref().take(count);
            visit(row.sensor as usize, row.stamp, &mut own);
            own.for_each(drop);
        }
        drop(cells);
        self.sensors.clear();
    }

    fn sensor_index(&mut self, sensor: &Arc<Sensor>) -> u32 {
        let at =
            self.sensors.iter().position(|known| Arc::ptr_eq(known, sensor)).unwrap_or_else(|| {
                self.sensors.push(Arc::clone(sensor));
                self.sensors.len() - 1
            });
        u32::try_from(at).expect("a buffer is bounded far below 2^32 sensors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_come_out_in_arrival_order_with_their_own_cells() {
        let sensor =
            |name: &str| Arc::new(Sensor { port: "p".into(), name: name.into(), channels: vec![] });
        let (a, b) = (sensor("a"), sensor("b"));
        let mut readings = Readings::default();
        readings.push(&a, Stamp::boot(1), [(0, Value::Int(1)), (1, Value::Int(2))]);
        readings.push(&b, Stamp::boot(2), []);
        readings.push(&a, Stamp::unix(3), [(0, Value::Bool(true))]);
        assert_eq!(readings.sensors().len(), 2);
        let mut seen = Vec::new();
        readings.drain(|sensor, stamp, cells| seen.push((sensor, stamp.ms, cells.count())));
        assert_eq!(seen, [(0, 1, 2), (1, 2, 0), (0, 3, 1)]);
        assert!(readings.is_empty());
    }
}
