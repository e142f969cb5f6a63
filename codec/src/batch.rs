//! Batches: consecutive segments offered to a sink in one request, and the `packed` form of one.
//!
//! A packed batch stands for itself: it names the device and epoch, describes every sensor its
//! segments refer to and dates their boots. Its layout is postcard of [`Batch`], in field order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::EventRecord;
use crate::lane::Lane;
use crate::segment::{ReadingView, SegmentError};
use crate::sensor::{Channel, Sensor};
use crate::stored_segment::StoredSegment;
use crate::time::{Anchor, Moment, Stamp, TimeBase};
use crate::value::Value;

/// What a sink is offered at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The id of the device.
    pub device: String,
    /// The life of its log that all numbers here belong to.
    pub epoch: u64,
    /// The lane of all its segments.
    pub lane: Lane,
    /// The sensors the segments refer to, by number.
    pub sensors: Vec<(u32, Sensor)>,
    /// The boots the segments and events refer to, by number; a boot whose clock was never read has no anchor.
    pub boots: Vec<(u32, Option<Anchor>)>,
    /// Ascending; empty when there is nothing but events to tell.
    pub segments: Vec<StoredSegment>,
    /// What happened to the device, in order.
    pub events: Vec<EventRecord>,
}

/// Why bytes are no packed batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// They end too early, or say what a batch cannot.
    #[error("failed to read the batch")]
    Batch(#[source] postcard::Error),
    /// They are a batch and so many more.
    #[error("{0} bytes follow the batch")]
    Trailing(usize),
}

/// A reading with everything it refers to.
#[derive(Debug)]
pub struct Dated<'a> {
    /// Number, stamp and values.
    pub reading: ReadingView<'a>,
    /// The sensor that it is of.
    pub sensor: &'a Sensor,
    /// Unix milliseconds; without an anchor, the time since boot.
    pub time_ms: i64,
    /// Whether the device knew the date.
    pub clock_set: bool,
}

impl<'a> Dated<'a> {
    /// Its values, each with the channel it is of. A value of a channel that the sensor does not
    /// describe is left out: nothing would say what it means.
    pub fn values(&self) -> impl Iterator<Item = (&'a Channel, &'a Value)> {
        let channels = &self.sensor.channels;
        let described = |(channel, value): &(u16, &'a Value)| {
            Some((channels.get(usize::from(*channel))?, *value))
        };
        self.reading.cells.iter().filter_map(described)
    }
}

/// The idempotency key of a batch: the same readings always have the same one.
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

    /// The sequence numbers it holds, as intervals.
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

    /// How many readings its segments announce.
    pub fn readings(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.count)).sum()
    }

    /// Its idempotency key.
    pub fn id(&self) -> BatchId {
        let (first, last) = (self.first_seq(), self.last_seq());
        let mut id = format!("{}-{:x}-{first}-{last}", self.device, self.epoch);
        let ranges = self.ranges();
        // Between the same ends another batch may have something else: a receiver that drops repeats by
        // their id must not take it for one.
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

    /// The batch as bytes. A batch in memory always has a packed form; the error is postcard's.
    pub fn to_packed(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Reads what [`Batch::to_packed`] gives, all of `bytes`: a second batch behind the first would
    /// go unseen.
    ///
    /// The bytes may be anything. Each takes less than 100 bytes of memory, and a list that announces
    /// more than it holds takes 1 MiB before that is noticed. Segments are taken as they are; they are
    /// checked when they are decoded.
    pub fn from_packed(bytes: &[u8]) -> Result<Self, PackedError> {
        let (batch, rest) = postcard::take_from_bytes(bytes).map_err(PackedError::Batch)?;
        if rest.is_empty() { Ok(batch) } else { Err(PackedError::Trailing(rest.len())) }
    }

    /// Visits every reading in order. Fails before the first visit of a segment that is damaged.
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
