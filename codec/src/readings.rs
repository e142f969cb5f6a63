//! A run of readings in arrival order, together with the sensors that they refer to, so that it is complete
//! in itself.

use std::sync::Arc;

use crate::sensor::Sensor;
use crate::time::Stamp;
use crate::value::Value;

#[derive(Clone, Copy, Debug)]
struct Row {
    sensor: u32,
    stamp: Stamp,
    cells_end: u32,
}

/// Readings in arrival order, with the sensors that they refer to by index.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    sensors: Vec<Arc<Sensor>>,
    rows: Vec<Row>,
    cells: Vec<(u16, Value)>,
}

impl Readings {
    /// The number of readings.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no readings.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sensors, in the order in which they were first seen.
    pub fn sensors(&self) -> &[Arc<Sensor>] {
        &self.sensors
    }

    /// The number of values of all readings.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Adds one reading. Each of `cells` is an index into the sensor's channels with a value.
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

    /// Removes all readings and calls `visit` for each in arrival order, with the index of its sensor, its
    /// stamp and its values.
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
