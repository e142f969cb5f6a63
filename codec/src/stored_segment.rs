//! A segment with its numbers and its checksum, as the log stores it and as it is sent.

use serde::{Deserialize, Serialize};

use crate::cut;
use crate::lane::Lane;
use crate::segment::{Segment, SegmentError};

/// A committed segment, as the log stores it and as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSegment {
    /// The number of its first reading.
    pub first_seq: u64,
    /// The number of readings, whose numbers are consecutive.
    pub count: u32,
    /// The lane of all its readings.
    pub lane: Lane,
    /// The number of the boot that its times since boot count from.
    pub boot: u32,
    /// The checksum, as [`StoredSegment::checksum`] computes it.
    pub crc: u32,
    /// The readings, as [`Segment::encode`] writes them.
    pub body: Vec<u8>,
}

impl StoredSegment {
    /// Makes a segment of a body, and computes its checksum.
    pub fn sealed(first_seq: u64, count: u32, lane: Lane, boot: u32, body: Vec<u8>) -> Self {
        let mut segment = Self { first_seq, count, lane, boot, crc: 0, body };
        segment.crc = segment.checksum();
        segment
    }

    /// The number of its last reading.
    pub fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    /// CRC-32 over all other fields: first number, count, lane, boot (little endian), body.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.first_seq.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        hasher.update(&[self.lane as u8]);
        hasher.update(&self.boot.to_le_bytes());
        hasher.update(&self.body);
        hasher.finalize()
    }

    /// Whether it has readings and its checksum is right.
    pub fn is_sound(&self) -> bool {
        self.count > 0 && self.checksum() == self.crc
    }

    /// The sensors that it refers to, ascending; empty if it is damaged.
    pub fn sensors(&self) -> Vec<u32> {
        Segment::sensors(&self.body, self.count as usize).unwrap_or_default()
    }

    /// Decodes the readings. Fails if the checksum is wrong.
    pub fn decode(&self) -> Result<Segment, SegmentError> {
        if !self.is_sound() {
            return Err(SegmentError::Malformed);
        }
        Segment::decode(&self.body, self.count as usize)
    }

    /// The readings whose numbers are in `first..=last`, as a segment of their own. Fails if there are
    /// none.
    pub fn cut(&self, first: u64, last: u64) -> Result<Self, SegmentError> {
        let (first, last) = (first.max(self.first_seq), last.min(self.last_seq()));
        if first > last {
            return Err(SegmentError::Empty);
        }
        let place = |seq: u64| usize::try_from(seq - self.first_seq).unwrap_or(usize::MAX);
        let mut part = cut::part(&self.decode()?, &(place(first)..place(last) + 1));
        let count = u32::try_from(part.len()).unwrap_or(u32::MAX);
        Ok(Self::sealed(first, count, self.lane, self.boot, part.encode()))
    }
}
