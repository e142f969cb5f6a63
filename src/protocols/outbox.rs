//! What a port holds until the log takes it: readings, alarms apart from them, and the account of the
//! bytes they came from. It is bounded; what overflows is counted.

use std::sync::Arc;

use outstation_codec::{Fault, Readings, Sensor, Stamp, Value, weight};

use super::partial::Partial;
use crate::domain::model::ledger::Intake;
use crate::domain::policy::alarm::{Rule, Watch};

/// Readings a port holds while the log is busy. At 115,200 baud it covers some ten seconds.
const PENDING_READINGS_MAX: usize = 8192;
/// Readings that a decoder may hold back until it can tell what they are.
pub(super) const HELD_READINGS_MAX: usize = 1024;
/// What one read of 4 KiB gives at most, and all that is held.
const SLACK_READINGS: usize = 2048 + HELD_READINGS_MAX;
/// Values it holds, for sensors with very many channels.
const PENDING_CELLS_MAX: usize = 65_536;

/// A group this large is handed over at once. So is one with an alarm, unless the last was just now: an
/// alarm costs a commit, and a port with very many sensors may have many.
const HAND_OVER_READINGS: usize = 1024;
const ALARMS_APART_MS: i64 = 100;

/// What a decoder fills and the log is sent.
#[derive(Debug, Default)]
pub struct Outbox {
    pub readings: Readings,
    /// Those that a rule makes alarms, and what of the same sensors came behind them: a series keeps its
    /// order.
    pub(crate) alarms: Readings,
    pub intake: Intake,
    watch: Watch,
    /// When what is decoded now arrived, since boot.
    pub(crate) now_ms: i64,
    /// When the last alarms were taken.
    alarmed_ms: Option<i64>,
    cells: usize,
    /// The values of one reading, kept for its memory.
    judged: Vec<(u16, Value)>,
    /// Bytes and frames half read at the last hand-over: they enter the books when they are whole,
    /// so that the equations hold in every commit.
    pub(crate) partial: Partial,
    /// What the sensor itself had to say: (level, text).
    pub(crate) said: Vec<(outstation_wire::Level, String)>,
}

impl Outbox {
    /// An empty one for a port with these rules.
    pub(crate) fn watched(rules: Vec<Rule>) -> Self {
        Self { watch: Watch::new(rules), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.readings.len() + self.alarms.len()
    }

    /// Whether it need not wait for more.
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

    /// Whether reading should stop where the sender can wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX || self.cells >= PENDING_CELLS_MAX
    }

    /// The read that fills the outbox still fits behind the mark, with all samples a hello may
    /// release: a sender that waits loses nothing.
    fn overflows(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX + SLACK_READINGS || self.cells >= 2 * PENDING_CELLS_MAX
    }

    /// One reading more; with no room left it is counted as lost to overflow.
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

    /// A whole frame or line, delimiter included.
    pub(super) fn framed(&mut self, bytes: u64) {
        self.intake.frames += 1;
        self.intake.frame_bytes += bytes;
    }

    /// Bytes that are no frame.
    pub(super) fn misframed(&mut self, fault: Fault, bytes: u64) {
        self.intake.faults.add(fault, 1);
        self.intake.fault_bytes += bytes;
    }

    pub(super) fn fault(&mut self, fault: Fault, count: u64) {
        self.intake.faults.add(fault, count);
    }

    /// Takes the content but for the alarms, leaving an empty outbox; `partial` is what is half read now.
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
