//! From bytes to readings: one ingest actor per port.
//!
//! ```text
//!  tty ─bytes▶ Decoder ─────────────────readings▶ Outbox ─Append▶ log
//!           │  ├ postcard: deframe, describe        └ bounded; what overflows is counted
//!           │  └ lines: split, parse (json | key-value | csv)
//!           └▶ Tail: the bytes as read, until the log has what they gave
//! ```
//!
//! A port that is absent or vanishes is weather: the actor waits and tries again, and no other
//! port notices. Faults are counted by reason and never stop the line.

use std::sync::Arc;

use outstation_codec::{Fault, Readings, Sensor, Stamp, Value, weight};

use crate::domain::model::ledger::Intake;
use crate::domain::policy::alarm::{Rule, Watch};

pub mod actor;
mod protocol;
pub mod serial;
pub mod tail;

pub use protocol::lines::LinesDecoder;
pub use protocol::postcard::PostcardDecoder;

/// Readings a port holds while the log is busy. At 115,200 baud it covers some ten seconds.
const PENDING_READINGS_MAX: usize = 8192;
/// A read of 4 KiB has at most so many lines, and a decoder holds at most so many samples.
const SLACK_READINGS: usize = 2048 + 1024;
/// Values it holds, for sensors with very many channels.
const PENDING_CELLS_MAX: usize = 65_536;

/// A group this large is handed over at once. So is one with an alarm, unless the last was just now: an
/// alarm costs a commit, and a port with very many sensors may have many.
const HAND_OVER_READINGS: usize = 1024;
const ALARMS_APART_MS: i64 = 100;

/// Where a port stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    Untried,
    /// Could not be opened, or was lost; `reason` says why and what to do.
    Absent {
        reason: String,
    },
    Open,
}

/// A port as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    pub name: String,
    pub path: String,
    pub state: PortState,
    pub opened_once: bool,
    /// Since the process started; the log keeps the account of its whole life.
    pub intake: Intake,
    /// What stands half read; it is not in `intake` yet.
    pub open: Open,
    pub last_reading_ms: Option<i64>,
    /// Readings taken up from the tail of a predecessor that was killed or crashed.
    pub recovered: u64,
    /// Bytes the tail could not record: until they are stored, a kill would lose them.
    pub unrecorded_bytes: u64,
    /// Whether it has ended and handed over all it had, its predecessor's tail included.
    pub finished: bool,
}

impl PortStatus {
    /// Every byte that came, also when no frame or line has ended yet: at a wrong baud rate that
    /// may be never.
    pub fn received_bytes(&self) -> u64 {
        self.intake.bytes + self.open.bytes
    }

    pub fn new(name: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            state: PortState::Untried,
            opened_once: false,
            intake: Intake::default(),
            open: Open::default(),
            last_reading_ms: None,
            recovered: 0,
            unrecorded_bytes: 0,
            finished: false,
        }
    }
}

/// What a decoder fills and the log is sent.
#[derive(Debug, Default)]
pub struct Outbox {
    pub readings: Readings,
    /// Those that a rule makes alarms, and what of the same sensors came behind them: a series keeps its
    /// order.
    pub alarms: Readings,
    pub intake: Intake,
    watch: Watch,
    /// When what is decoded now arrived, since boot.
    now_ms: i64,
    /// When the last alarms were taken.
    alarmed_ms: Option<i64>,
    cells: usize,
    /// The values of one reading, kept for its memory.
    judged: Vec<(u16, Value)>,
    /// Bytes and frames half read at the last hand-over: they enter the books when they are whole,
    /// so that the equations hold in every commit.
    open: Open,
    /// What the sensor itself had to say: (level, text).
    pub said: Vec<(outstation_wire::Level, String)>,
}

impl Outbox {
    /// An empty one for a port with these rules.
    fn watched(rules: Vec<Rule>) -> Self {
        Self { watch: Watch::new(rules), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.readings.len() + self.alarms.len()
    }

    /// Whether it need not wait for more.
    fn is_urgent(&self) -> bool {
        let apart = |at: i64| self.now_ms.saturating_sub(at) >= ALARMS_APART_MS;
        let alarming = !self.alarms.is_empty() && self.alarmed_ms.is_none_or(apart);
        alarming || self.len() >= HAND_OVER_READINGS
    }

    fn take_alarms(&mut self) -> Readings {
        if !self.alarms.is_empty() {
            self.alarmed_ms = Some(self.now_ms);
        }
        std::mem::take(&mut self.alarms)
    }

    /// Whether reading should stop where the sender can wait.
    pub fn is_full(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX || self.cells >= PENDING_CELLS_MAX
    }

    /// The read that fills the outbox still fits behind the mark, with all samples a hello may
    /// release: a sender that waits loses nothing.
    fn overflows(&self) -> bool {
        self.len() >= PENDING_READINGS_MAX + SLACK_READINGS || self.cells >= 2 * PENDING_CELLS_MAX
    }

    /// One reading more; with no room left it is counted as lost to overflow.
    pub fn push(
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
    fn framed(&mut self, bytes: u64) {
        self.intake.frames += 1;
        self.intake.frame_bytes += bytes;
    }

    /// Bytes that are no frame.
    fn misframed(&mut self, fault: Fault, bytes: u64) {
        self.intake.faults.add(fault, 1);
        self.intake.fault_bytes += bytes;
    }

    fn fault(&mut self, fault: Fault, count: u64) {
        self.intake.faults.add(fault, count);
    }

    /// Takes the content but for the alarms, leaving an empty outbox; `open` is what is half read now.
    pub fn take(&mut self, open: Open) -> (Readings, Intake) {
        let before = std::mem::replace(&mut self.open, open);
        let mut intake = std::mem::take(&mut self.intake);
        intake.bytes = intake.bytes + before.bytes - open.bytes;
        intake.frames = intake.frames + before.frames - open.frames;
        self.cells = 0;
        (std::mem::take(&mut self.readings), intake)
    }
}

/// What a decoder has begun and not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Bytes of a frame still incomplete.
    pub bytes: u64,
    /// Frames that wait for their sensor to introduce itself.
    pub frames: u64,
}

/// The framing of one port.
#[derive(Debug)]
pub enum Decoder {
    Postcard(Box<PostcardDecoder>),
    Lines(Box<LinesDecoder>),
}

impl Decoder {
    /// Takes bytes that arrived at `at_ms` since boot; whatever they are, only counts can go wrong.
    pub fn feed(&mut self, bytes: &[u8], at_ms: i64, out: &mut Outbox) {
        out.intake.bytes += bytes.len() as u64;
        out.now_ms = at_ms;
        match self {
            Self::Postcard(decoder) => decoder.feed(bytes, at_ms, out),
            Self::Lines(decoder) => decoder.feed(bytes, at_ms, out),
        }
    }

    /// The line was interrupted: what stands half read will never be completed.
    pub fn interrupted(&mut self, out: &mut Outbox) {
        match self {
            Self::Postcard(decoder) => decoder.interrupted(out),
            Self::Lines(decoder) => decoder.interrupted(out),
        }
    }

    /// What stands half read.
    pub fn open(&self) -> Open {
        match self {
            Self::Postcard(decoder) => decoder.open(),
            Self::Lines(decoder) => decoder.open(),
        }
    }

    /// The bytes of a frame or line still incomplete, unless they are too many to become one.
    fn half_read(&self) -> &[u8] {
        match self {
            Self::Postcard(decoder) => decoder.half_read(),
            Self::Lines(decoder) => decoder.half_read(),
        }
    }

    /// What it has learned and needs to understand what comes next, without what stands half read.
    fn knowledge(&self) -> Vec<u8> {
        match self {
            Self::Postcard(decoder) => decoder.knowledge(),
            // Lines stand for themselves.
            Self::Lines(_) => Vec::new(),
        }
    }

    /// Takes over what another one knew.
    fn learn(&mut self, knowledge: &[u8]) {
        if let Self::Postcard(decoder) = self {
            decoder.learn(knowledge);
        }
    }
}

#[cfg(test)]
mod tests;
