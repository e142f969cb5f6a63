//! The accepted readings that are not committed yet: one open segment per lane, and a queue of closed ones
//! that grows while the storage fails.

use std::collections::{HashSet, VecDeque};

use outstation_codec::{
    CELLS_MAX, Lane, PublishedEvent, Readings, Segment, Stamp, StoredSegment, Value,
};

use crate::domain::model::event::{Event, Stream};
use crate::domain::model::ledger::Intake;
use crate::domain::model::sensors::Mapping;
use crate::event_log::state::log_state::LogState;
use crate::event_log::store::commit::NewSegment;
use crate::telemetry::events::{ReadingsGivenUp, Report, SensorCrowded};

/// The most values of one commit. With one message on top, it stays below the limit of a segment.
pub(crate) const CELLS_PER_COMMIT: usize = CELLS_MAX / 4;
/// While commits fail, waiting readings are given up in parts of this fraction of what memory may hold.
const PARTS: usize = 8;

/// Consecutive readings of one lane.
#[derive(Debug)]
struct Block {
    lane: Lane,
    segment: Segment,
    /// When the first and the last reading arrived, in milliseconds since boot.
    first_ms: i64,
    last_ms: i64,
}

impl Block {
    fn new(lane: Lane) -> Self {
        Self { lane, segment: Segment::default(), first_ms: 0, last_ms: 0 }
    }

    fn push(
        &mut self,
        sensor: u32,
        stamp: Stamp,
        cells: impl Iterator<Item = (u16, Value)>,
        now_ms: i64,
    ) {
        if self.segment.is_empty() {
            self.first_ms = now_ms;
        }
        self.last_ms = now_ms;
        self.segment.push(sensor, stamp, cells);
    }

    fn seal(&mut self, first_seq: u64, boot: u32) -> NewSegment {
        let count = u32::try_from(self.segment.len()).unwrap_or(u32::MAX);
        let body = self.segment.encode();
        let segment = StoredSegment::sealed(first_seq, count, self.lane, boot, body);
        NewSegment { segment, first_ms: self.first_ms, last_ms: self.last_ms }
    }
}

/// The order in which open segments are numbered. Alarms come after what was read before them, so that
/// numbers and times of a series have the same order: some receivers refuse a reading older than the last
/// one they have.
const OPEN: [Lane; 3] = [Lane::Live, Lane::Backfill, Lane::Alarm];

#[derive(Debug)]
pub(crate) struct OpenSegments {
    /// Closed segments, oldest first. There are some while nothing can be committed, and after an alarm.
    waiting: VecDeque<Block>,
    /// In the order of [`OPEN`].
    open: [Block; 3],
    /// How many of the segments that are not empty are in the commit under way.
    sealed: usize,
    /// Sensors that were reported to have too many channels.
    crowded: HashSet<u32>,
}

impl OpenSegments {
    pub(crate) fn new() -> Self {
        let (waiting, open) = (VecDeque::new(), OPEN.map(Block::new));
        Self { waiting, open, sealed: 0, crowded: HashSet::new() }
    }

    /// Moves readings into the open segment of a lane, and records new sensors and channels.
    pub(crate) fn take(&mut self, lane: Lane, readings: &mut Readings, state: &mut LogState) {
        let mut mappings = Vec::with_capacity(readings.sensors().len());
        for sensor in readings.sensors() {
            let (mapping, news) = state.aggregates().registry.locate(sensor);
            if mapping.channels.contains(&None) && self.crowded.insert(mapping.id) {
                SensorCrowded { port: &sensor.port, sensor: &sensor.name }.report();
            }
            if let Some(sensor) = news {
                state.record(
                    Stream::registry(),
                    PublishedEvent::SensorDescribed { id: mapping.id, sensor },
                );
            }
            mappings.push(mapping);
        }
        let now_ms = state.now().ms;
        let open = self.open(lane);
        readings.drain(|sensor, stamp, cells| {
            let Mapping { id, channels } = &mappings[sensor];
            let known = |(channel, value)| Some((channels[usize::from(channel)]?, value));
            open.push(*id, stamp, cells.filter_map(known), now_ms);
        });
    }

    /// Says whether there is as much as one commit should take.
    pub(crate) fn is_filled(&self, readings_max: usize) -> bool {
        self.len() >= readings_max || self.cells() >= CELLS_PER_COMMIT
    }

    /// Gives up the oldest readings if there are more than memory may hold, and counts them as overflow of
    /// the ports they came from.
    pub(crate) fn keep_newest(&mut self, state: &mut LogState) {
        let readings_max = state.config().commit_readings;
        self.part(readings_max);
        while self.is_filled(readings_max) {
            let Some(block) = self.give_up() else { return };
            let mut count = 0;
            for (sensor, overflow) in block.segment.counts() {
                count += overflow;
                let port = state.aggregates().registry.sensor(sensor).map(|sensor| &sensor.port);
                let port = port.cloned().unwrap_or_default();
                let intake = Intake { overflow, ..Intake::default() };
                state.record(Stream::ledger(), Event::TookIn { port, intake });
            }
            ReadingsGivenUp { count }.report();
        }
    }

    /// Closes the open segments once they are large enough to be a part that can be given up, or committed,
    /// alone.
    pub(crate) fn part(&mut self, readings_max: usize) {
        if self.open_len() >= readings_max / PARTS {
            self.rotate();
        }
    }

    fn open(&mut self, lane: Lane) -> &mut Block {
        let at = OPEN.iter().position(|open| *open == lane).unwrap_or(0);
        &mut self.open[at]
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.waiting.iter().chain(&self.open).filter(|block| !block.segment.is_empty())
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks().map(|block| block.segment.len()).sum()
    }

    /// Counts the readings of the open segments alone.
    fn open_len(&self) -> usize {
        self.open.iter().map(|block| block.segment.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks().next().is_none()
    }

    fn cells(&self) -> usize {
        self.blocks().map(|block| block.segment.cells()).sum()
    }

    /// Closes the open segments, so that each can be given up alone and later readings get higher numbers.
    pub(crate) fn rotate(&mut self) {
        for open in &mut self.open {
            if !open.segment.is_empty() {
                let lane = open.lane;
                self.waiting.push_back(std::mem::replace(open, Block::new(lane)));
            }
        }
    }

    /// Removes and returns the oldest segment of the lowest lane.
    fn give_up(&mut self) -> Option<Block> {
        let lowest = self.waiting.iter().map(|block| block.lane).max()?;
        let at = self.waiting.iter().position(|block| block.lane == lowest)?;
        self.waiting.remove(at)
    }

    /// Encodes the oldest readings as segments, numbered from `first_seq`, until they have `bytes_max`
    /// bytes or more. The readings stay here until [`OpenSegments::clear`].
    pub(crate) fn seal(&mut self, first_seq: u64, boot: u32, bytes_max: usize) -> Vec<NewSegment> {
        let (mut next, mut bytes, mut all) = (first_seq, 0, Vec::new());
        let blocks = self.waiting.iter_mut().chain(&mut self.open);
        for block in blocks.filter(|block| !block.segment.is_empty()) {
            if bytes >= bytes_max {
                break;
            }
            let sealed = block.seal(next, boot);
            next = sealed.segment.last_seq() + 1;
            bytes += sealed.segment.body.len();
            all.push(sealed);
        }
        self.sealed = all.len();
        all
    }

    /// Removes the readings that were sealed and returns how many there were. Keeps the allocated memory of
    /// the open segments.
    pub(crate) fn clear(&mut self) -> usize {
        let before = self.len();
        for _ in 0..std::mem::take(&mut self.sealed) {
            if self.waiting.pop_front().is_none() {
                let filled = self.open.iter_mut().find(|block| !block.segment.is_empty());
                filled.into_iter().for_each(|block| block.segment.clear());
            }
        }
        before - self.len()
    }
}
