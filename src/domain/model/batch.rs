//! Batches: consecutive segments offered to a sink in one request, and the `packed` form of one.
//!
//! A packed batch stands for itself: it names the device and epoch, describes every sensor its
//! segments refer to and dates their boots. Its layout is postcard of [`Batch`], in field order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::boots::{Anchor, Moment};
use super::event::Event;
use super::reading::{Sensor, Stamp, TimeBase};
use crate::domain::codec::segment::{ReadingView, Segment, SegmentError};

/// Delivery class, the most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Alarm,
    #[default]
    Live,
    Backfill,
}

impl Lane {
    /// The most urgent first.
    pub const ALL: [Self; 3] = [Self::Alarm, Self::Live, Self::Backfill];

    /// In the order in which they have to go when there is no room.
    pub const LOWEST_FIRST: [Self; 3] = [Self::Backfill, Self::Live, Self::Alarm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }
}

/// A committed segment, as it stands in the log and as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSegment {
    pub first_seq: u64,
    pub count: u32,
    pub lane: Lane,
    /// The number of the boot that times on the boot base count from.
    pub boot: u32,
    /// See [`StoredSegment::checksum`].
    pub crc: u32,
    pub body: Vec<u8>,
}

impl StoredSegment {
    /// Closes a body with its checksum.
    pub fn sealed(first_seq: u64, count: u32, lane: Lane, boot: u32, body: Vec<u8>) -> Self {
        let mut segment = Self { first_seq, count, lane, boot, crc: 0, body };
        segment.crc = segment.checksum();
        segment
    }

    pub fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    /// CRC-32 over everything else: first number, count, lane, boot (little endian), body.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.first_seq.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        hasher.update(&[self.lane as u8]);
        hasher.update(&self.boot.to_le_bytes());
        hasher.update(&self.body);
        hasher.finalize()
    }

    /// Whether it is what was written.
    pub fn is_sound(&self) -> bool {
        self.count > 0 && self.checksum() == self.crc
    }

    /// The sensors it refers to, ascending; none if it is damaged.
    pub fn sensors(&self) -> Vec<u32> {
        Segment::sensors(&self.body, self.count as usize).unwrap_or_default()
    }

    pub fn decode(&self) -> Result<Segment, SegmentError> {
        if !self.is_sound() {
            return Err(SegmentError::Malformed);
        }
        Segment::decode(&self.body, self.count as usize)
    }

    /// Those of its readings whose numbers are in `first..=last`; fails if it has none of them.
    pub fn cut(&self, first: u64, last: u64) -> Result<Self, SegmentError> {
        let (first, last) = (first.max(self.first_seq), last.min(self.last_seq()));
        if first > last {
            return Err(SegmentError::Empty);
        }
        let place = |seq: u64| usize::try_from(seq - self.first_seq).unwrap_or(usize::MAX);
        let mut part = self.decode()?.part(place(first)..place(last) + 1);
        let count = u32::try_from(part.len()).unwrap_or(u32::MAX);
        Ok(Self::sealed(first, count, self.lane, self.boot, part.encode()))
    }
}

/// What a sink is offered at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub device: String,
    pub epoch: u64,
    pub lane: Lane,
    /// The sensors the segments refer to, by number.
    pub sensors: Vec<(u32, Sensor)>,
    /// The boots the segments and events refer to, by number; a boot whose clock was never read has no anchor.
    pub boots: Vec<(u32, Option<Anchor>)>,
    /// Ascending; empty when there is nothing but events to tell.
    pub segments: Vec<StoredSegment>,
    /// What happened to the device, in order.
    pub events: Vec<ToldEvent>,
}

/// An operational event on its way upstream. (device, epoch, position) names it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldEvent {
    pub position: u64,
    pub stream: String,
    pub boot: u32,
    /// Milliseconds since that boot.
    pub at_ms: i64,
    pub event: Event,
}

impl ToldEvent {
    /// The boots that date it and what it says.
    pub fn boots(&self) -> impl Iterator<Item = u32> {
        let span = match &self.event {
            Event::Evicted { from, to, .. } => [from.boot, to.boot],
            _ => [self.boot; 2],
        };
        std::iter::once(self.boot).chain(span)
    }
}

/// A reading with everything it refers to.
#[derive(Debug)]
pub struct Dated<'a> {
    pub reading: ReadingView<'a>,
    pub sensor: &'a Sensor,
    /// Unix milliseconds; without an anchor, the time since boot.
    pub time_ms: i64,
    /// Whether the device knew the date.
    pub clock_set: bool,
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
    pub fn first_seq(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.first_seq)
    }

    pub fn last_seq(&self) -> u64 {
        self.segments.last().map_or(0, StoredSegment::last_seq)
    }

    /// The sequence numbers it holds, as intervals.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for segment in &self.segments {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == segment.first_seq => *last = segment.last_seq(),
                _ => ranges.push((segment.first_seq, segment.last_seq())),
            }
        }
        ranges
    }

    pub fn readings(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.count)).sum()
    }

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

    pub fn to_packed(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
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
