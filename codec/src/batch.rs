//! Batches: consecutive segments that are offered to a sink in one request, and the `packed` form of a
//! batch.
//!
//! A packed batch is complete in itself: it names the device and the epoch, describes every sensor that its
//! segments refer to, and has the anchors that date their boots. Its layout is postcard of [`Batch`], in
//! field order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::EventRecord;
use crate::lane::Lane;
use crate::segment::{ReadingView, SegmentError};
use crate::sensor::{Channel, Sensor};
use crate::stored_segment::StoredSegment;
use crate::time::{Anchor, Moment, Stamp, TimeBase};
use crate::value::Value;

/// The readings and events that a sink is offered in one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The id of the device.
    pub device: String,
    /// The epoch of the log that all numbers here belong to.
    pub epoch: u64,
    /// The lane of all its segments.
    pub lane: Lane,
    /// The sensors that the segments refer to, each with its number; ascending.
    pub sensors: Vec<(u32, Sensor)>,
    /// The boots that the segments and events refer to, each with its number. A boot whose clock was never
    /// read has no anchor.
    pub boots: Vec<(u32, Option<Anchor>)>,
    /// The segments, ascending by number; empty if the batch has only events.
    pub segments: Vec<StoredSegment>,
    /// The published events of the device, ascending by position.
    pub events: Vec<EventRecord>,
}

/// The reason why bytes are not a packed batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// The bytes end too early, or hold values that a batch cannot have.
    #[error("failed to read the batch")]
    Batch(#[source] postcard::Error),
    /// The bytes are a batch, followed by this many others.
    #[error("{0} bytes follow the batch")]
    Trailing(usize),
}

/// A reading with everything it refers to.
#[derive(Debug)]
pub struct Dated<'a> {
    /// Its number, stamp and values.
    pub reading: ReadingView<'a>,
    /// The sensor that took it.
    pub sensor: &'a Sensor,
    /// The time in Unix milliseconds; without an anchor, milliseconds since boot.
    pub time_ms: i64,
    /// Whether the device knew the date.
    pub clock_set: bool,
}

impl<'a> Dated<'a> {
    /// The values of the reading with their channels. A value whose channel the sensor does not describe is
    /// left out, because its meaning is not known.
    pub fn values(&self) -> impl Iterator<Item = (&'a Channel, &'a Value)> {
        let channels = &self.sensor.channels;
        let described = |(channel, value): &(u16, &'a Value)| {
            Some((channels.get(usize::from(*channel))?, *value))
        };
        self.reading.cells.iter().filter_map(described)
    }
}

/// The idempotency key of a batch. The same readings always have the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(String);

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Batch {
    /// The lowest sequence number; 0 if there are no readings.
    pub fn first_seq(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.first_seq)
    }

    /// The highest sequence number; 0 if there are no readings.
    pub fn last_seq(&self) -> u64 {
        self.segments.last().map_or(0, StoredSegment::last_seq)
    }

    /// The sequence numbers of its readings, as intervals with both ends included.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for segment in &self.segments {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(segment.first_seq) => {
                    *last = segment.last_seq();
                }
                _ => ranges.push((segment.first_seq, segment.last_seq())),
            }
        }
        ranges
    }

    /// The number of readings that its segments announce.
    pub fn readings(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.count)).sum()
    }

    /// The idempotency key of this batch.
    pub fn id(&self) -> BatchId {
        let (first, last) = (self.first_seq(), self.last_seq());
        let mut id = format!("{}-{:x}-{first}-{last}", self.device, self.epoch);
        let ranges = self.ranges();
        // Another batch may have other readings between the same ends; a receiver that drops repeats by
        // their key must not confuse the two.
        if ranges.len() > 1 {
            let bytes = ranges.iter().flat_map(|(first, last)| [*first, *last]);
            let bytes: Vec<u8> = bytes.flat_map(u64::to_le_bytes).collect();
            id.push_str(&format!("-{:08x}", crc32fast::hash(&bytes)));
        }
        if let (Some(first), Some(last)) = (self.events.first(), self.events.last()) {
            id.push_str(&format!("-e{}-{}", first.position, last.position));
        }
        BatchId(id)
    }

    /// The batch as bytes. This cannot fail for a batch in memory; the error is postcard's.
    pub fn to_packed(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Reads a batch that [`Batch::to_packed`] wrote. It must take up all of `bytes`, because a second
    /// batch behind the first would go unnoticed.
    ///
    /// The bytes may be anything. Each byte takes less than 100 bytes of memory, and a list that announces
    /// more items than it has takes 1 MiB before that is noticed. Segments are not checked here, but when
    /// they are decoded.
    pub fn from_packed(bytes: &[u8]) -> Result<Self, PackedError> {
        let (batch, rest) = postcard::take_from_bytes(bytes).map_err(PackedError::Batch)?;
        if rest.is_empty() { Ok(batch) } else { Err(PackedError::Trailing(rest.len())) }
    }

    /// Calls `visit` for every reading in order. Returns an error before the first reading of a segment
    /// that is damaged, and after the last reading of one that refers to an unknown sensor.
    pub fn for_each(&self, mut visit: impl FnMut(Dated<'_>)) -> Result<(), SegmentError> {
        for stored in &self.segments {
            let segment = stored.decode()?;
            let anchor = self.anchor(stored.boot);
            let mut known = true;
            segment.for_each(stored.first_seq, |reading| {
                let Some(sensor) = self.sensor(reading.sensor) else {
                    known = false;
                    return;
                };
                let (time_ms, clock_set) = date(reading.stamp, anchor);
                visit(Dated { reading, sensor, time_ms, clock_set });
            });
            if !known {
                return Err(SegmentError::Malformed);
            }
        }
        Ok(())
    }

    fn sensor(&self, id: u32) -> Option<&Sensor> {
        let at = self.sensors.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.sensors[at].1)
    }

    /// The date of a moment in Unix milliseconds, and whether the device knew it.
    pub fn date(&self, moment: Moment) -> (i64, bool) {
        date(Stamp::boot(moment.ms), self.anchor(moment.boot))
    }

    fn anchor(&self, number: u32) -> Option<Anchor> {
        self.boots.iter().find(|(boot, _)| *boot == number).and_then(|(_, anchor)| *anchor)
    }
}

fn date(stamp: Stamp, anchor: Option<Anchor>) -> (i64, bool) {
    match (stamp.base, anchor) {
        (TimeBase::Unix, _) => (stamp.ms, true),
        (TimeBase::Boot, Some(anchor)) => (anchor.date(stamp.ms), anchor.set),
        (TimeBase::Boot, None) => (stamp.ms, false),
    }
}
