//! Holds the output of a port until the log accepts it: readings, separate alarms, and the account of the
//! bytes they came from. The outbox is bounded, and readings that overflow are counted. `ingest/actor.rs`
//! sends the content to the log.

use std::sync::Arc;

use outstation_codec::{Fault, Readings, Sensor, Stamp, Value, weight};

use super::partial::Partial;
use crate::domain::model::ledger::Intake;
use crate::domain::policy::alarm::{Rule, Watch};

/// The most readings that a port holds while the log is busy. At 115,200 baud they cover about ten seconds.
const PENDING_READINGS_MAX: usize = 8192;
/// The most readings that a decoder may hold back until it can interpret them.
pub(super) const HELD_READINGS_MAX: usize = 1024;
/// The readings that may come beyond the bound: from one read of 4 KiB, and those that a decoder holds
/// back.
const SLACK_READINGS: usize = 2048 + HELD_READINGS_MAX;
/// The most values that a port holds, for sensors with very many channels. A long text counts as several.
const PENDING_CELLS_MAX: usize = 65_536;

/// A group of this many readings is handed over at once. So is a group with an alarm, unless another was
/// taken within `ALARMS_APART_MS`: each alarm costs a commit, and a port with very many sensors may have
/// many.
const HAND_OVER_READINGS: usize = 1024;
const ALARMS_APART_MS: i64 = 100;

/// The output of a decoder, which is sent to the log.
#[derive(Debug, Default)]
pub struct Outbox {
    pub readings: Readings,
    /// The readings that a rule makes alarms, and the later readings of the same sensors, so that each
    /// series keeps its order.
    pub(crate) alarms: Readings,
    pub intake: Intake,
    watch: Watch,
    /// The arrival time of the bytes that are being decoded, in milliseconds since boot.
    pub(crate) now_ms: i64,
    /// When alarms were last taken, in milliseconds since boot.
    alarmed_ms: Option<i64>,
    cells: usize,
    /// The values of the current reading. The buffer is kept to reuse its memory.
    judged: Vec<(u16, Value)>,
    /// The bytes and frames that were partly read at the last hand-over. They are counted when they are
    /// complete, so that the equations of the ledger hold in every commit.
    pub(crate) partial: Partial,
    /// The messages of the sensor itself: level and text.
    pub(crate) said: Vec<(outstation_wire::Level, String)>,
}

impl Outbox {
    /// Creates an empty outbox for a port with these alarm rules.
    pub(crate) fn watched(rules: Vec<Rule>) -> Self {
        Self { watch: Watch::new(rules), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.readings.len() + self.alarms.len()
    }

    /// Whether the content should be handed over without waiting for more.
    pub(crate) fn is_urgent(&self) -> bool {
        let apart = |at: i64| self.now_ms.saturating_sub(at) >= ALARMS_APART_MS;
        let alarming = !self.alarms.is_empty() && self.alarmed_ms.is_none_or(apart);
        alarming || self.len() >= HAND_OVER_READINGS
    }

    pub(crate) fn take_alarms(&mut self) -> Readings {
        if !self.alarms.is_empty() {
            self.alarmed_ms = Some(self.now_ms);
        }
        std::mem::take(&mut self.alarms)
    }

    /// Whether reading should stop if the sender can wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX || self.cells >= PENDING_CELLS_MAX
    }

    /// Whether a reading must be dropped. The bound is above `is_full` by what the last read can give and a
    /// decoder can release, so nothing is lost if the sender waits.
    fn overflows(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX + SLACK_READINGS || self.cells >= 2 * PENDING_CELLS_MAX
    }

    /// Adds one reading. Without room it is dropped and counted as overflow.
    pub(super) fn push(
        &mut self,
        sensor: &Arc<Sensor>,
        stamp: Stamp,
        cells: impl Iterator<Item = (u16, Value)>,
    ) {
        self.intake.accepted += 1;
        if self.overflows() {
            self.intake.overflow += 1;
            return;
        }
        let weights = &mut self.cells;
        let weighed = cells.inspect(|(_, value)| *weights += weight(value));
        if self.watch.is_idle() {
            self.readings.push(sensor, stamp, weighed);
            return;
        }
        self.judged.extend(weighed);
        let is_alarm = self.watch.is_alarm(sensor, &self.judged, self.now_ms);
        let mut alarmed = self.alarms.sensors().iter();
        let urgent = is_alarm || alarmed.any(|known| known.name == sensor.name);
        let readings = if urgent { &mut self.alarms } else { &mut self.readings };
        readings.push(sensor, stamp, self.judged.drain(..));
    }

    /// Counts a complete frame or line of `bytes` bytes, including its delimiter.
    pub(super) fn framed(&mut self, bytes: u64) {
        self.intake.frames += 1;
        self.intake.frame_bytes += bytes;
    }

    /// Counts bytes that are not a valid frame.
    pub(super) fn misframed(&mut self, fault: Fault, bytes: u64) {
        self.intake.faults.add(fault, 1);
        self.intake.fault_bytes += bytes;
    }

    pub(super) fn fault(&mut self, fault: Fault, count: u64) {
        self.intake.faults.add(fault, count);
    }

    /// Takes everything except the alarms and leaves the outbox empty. `partial` is what is partly read
    /// now.
    pub(crate) fn take(&mut self, partial: Partial) -> (Readings, Intake) {
        let before = std::mem::replace(&mut self.partial, partial);
        let mut intake = std::mem::take(&mut self.intake);
        intake.bytes = intake.bytes + before.bytes - partial.bytes;
        intake.frames = intake.frames + before.frames - partial.frames;
        self.cells = 0;
        (std::mem::take(&mut self.readings), intake)
    }
}

#[cfg(test)]
mod tests {
    use outstation_codec::ValueType;

    use super::*;
    use crate::domain::policy::alarm::When;
    use crate::test_kit::batches::sensor;

    #[test]
    fn an_alarm_is_urgent_and_takes_along_what_follows_of_its_own_sensor() {
        let sensor = |name| Arc::new(sensor(name, &[("t", ValueType::Int)]));
        let limits = (Some(10.0), None, 0.0, None);
        let (above, below, hysteresis, change) = limits;
        let when = When::Number { above, below, hysteresis, change };
        let mut out = Outbox::watched(vec![Rule { sensor: None, channel: "t".into(), when }]);
        let (one, other) = (sensor("one"), sensor("other"));
        let push = |out: &mut Outbox, sensor, value| {
            out.push(sensor, Stamp::boot(0), [(0, Value::Int(value))].into_iter());
            (out.readings.len(), out.alarms.len(), out.is_urgent())
        };
        assert_eq!(push(&mut out, &one, 9), (1, 0, false));
        assert_eq!(push(&mut out, &one, 11), (1, 1, true));
        assert_eq!(push(&mut out, &one, 12), (1, 2, true), "so that the series keeps its order");
        assert_eq!(push(&mut out, &other, 9), (2, 2, true));
        assert_eq!(out.take_alarms().len(), 2);
        assert_eq!(out.take(Partial::default()).0.len(), 2);
        assert_eq!(push(&mut out, &one, 13), (1, 0, false), "no edge");
        assert_eq!(push(&mut out, &one, 9), (1, 1, false), "an edge, so soon after the last");
        out.now_ms = ALARMS_APART_MS;
        assert_eq!(push(&mut out, &other, 9), (2, 1, true));
    }

    #[test]
    fn the_read_that_fills_the_outbox_still_fits() {
        let sensor = Arc::new(sensor("s", &[]));
        let mut out = Outbox::default();
        while !out.is_full() {
            out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
        }
        for _ in 0..SLACK_READINGS {
            out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
        }
        assert_eq!(out.intake.overflow, 0);
        out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
        assert_eq!(out.intake.overflow, 1, "and memory has a bound");
    }

    #[test]
    fn long_texts_fill_the_outbox_sooner() {
        let sensor = Arc::new(sensor("s", &[]));
        let mut out = Outbox::default();
        let text = Value::Text("x".repeat(4096).into());
        while !out.is_full() {
            out.push(&sensor, Stamp::boot(0), [(0, text.clone())].into_iter());
        }
        assert!(out.readings.len() < 300, "{}", out.readings.len());
    }
}
