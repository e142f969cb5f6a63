//! The rows of the log and their checksums, which tell a damaged row from a sound one wherever it is found.
//!
//! All checksums are CRC-32 over fields in little endian. That of a segment travels with it, see
//! [`StoredSegment::checksum`](outstation_codec::StoredSegment::checksum).

use outstation_codec::{Moment, PublishedEvent, SegmentError, StoredSegment};

use super::error::StorageError;
use crate::domain::model::event::{Event, Stream};

/// An event as it is stored in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub(crate) stream: Stream,
    pub(crate) version: u64,
    pub(crate) boot: u32,
    /// Milliseconds since that boot.
    pub(crate) at_ms: i64,
    /// Its position, if the event is published.
    pub(crate) position: Option<u64>,
    /// The event, as postcard.
    pub(crate) data: Vec<u8>,
}

impl EventRow {
    /// Decodes the event. The row must be that of a published event.
    pub(crate) fn published(&self) -> Result<PublishedEvent, StorageError> {
        let encoding = |source| StorageError::Encoding { what: "event", source };
        match postcard::from_bytes(&self.data).map_err(encoding)? {
            Event::Published(event) => Ok(event),
            _ => Err(encoding(postcard::Error::DeserializeBadEnum)),
        }
    }

    /// The CRC-32 over stream, a zero byte, version, boot, at_ms, position (0 for none), data.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = named(&self.stream);
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&self.boot.to_le_bytes());
        hasher.update(&self.at_ms.to_le_bytes());
        hasher.update(&self.position.unwrap_or(0).to_le_bytes());
        hasher.update(&self.data);
        hasher.finalize()
    }
}

/// An aggregate as of a version of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRow {
    pub(crate) stream: Stream,
    pub(crate) version: u64,
    /// The aggregate, as postcard.
    pub(crate) data: Vec<u8>,
}

impl SnapshotRow {
    /// The CRC-32 over stream, a zero byte, version, data.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = named(&self.stream);
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&self.data);
        hasher.finalize()
    }
}

/// The snapshot and the events from which the aggregate of a stream is rebuilt.
#[derive(Debug)]
pub struct History {
    pub(crate) snapshot: Option<SnapshotRow>,
    pub(crate) events: Vec<EventRow>,
}

/// The one row that identifies the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetaRow {
    pub(crate) epoch: u64,
    pub(crate) format: u32,
    /// The identity of the file, see `Files::identity`.
    pub(crate) file: Vec<u8>,
}

impl MetaRow {
    /// The CRC-32 over epoch, format, file.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.epoch.to_le_bytes());
        hasher.update(&self.format.to_le_bytes());
        hasher.update(&self.file);
        hasher.finalize()
    }
}

/// Readings that a sink refused, as they are kept for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    pub sink: String,
    /// Its own checksum is computed when the row is read; the checksum of the row covers the segment.
    pub segment: StoredSegment,
    /// When the readings were refused.
    pub at: Moment,
    /// Whether the readings are being offered again.
    pub replayed: bool,
    /// The reason in the server's words.
    pub reason: String,
}

impl QuarantineRow {
    /// The CRC-32 over sink, a zero byte, first_seq, count, lane (u8), boot, at_boot, at_ms, replayed (u8),
    /// the length of reason (u32), reason, body.
    pub(crate) fn checksum(&self) -> u32 {
        let segment = &self.segment;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.sink.as_bytes());
        hasher.update(&[0]);
        hasher.update(&segment.first_seq.to_le_bytes());
        hasher.update(&segment.count.to_le_bytes());
        hasher.update(&[segment.lane as u8]);
        hasher.update(&segment.boot.to_le_bytes());
        hasher.update(&self.at.boot.to_le_bytes());
        hasher.update(&self.at.ms.to_le_bytes());
        hasher.update(&[u8::from(self.replayed)]);
        hasher.update(&u32::try_from(self.reason.len()).unwrap_or(u32::MAX).to_le_bytes());
        hasher.update(self.reason.as_bytes());
        hasher.update(&segment.body);
        hasher.finalize()
    }

    /// Returns a row with only the readings `first..=last`.
    pub(crate) fn cut(&self, first: u64, last: u64) -> Result<Self, SegmentError> {
        Ok(Self { segment: self.segment.cut(first, last)?, ..self.clone() })
    }
}

fn named(stream: &Stream) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(stream.as_str().as_bytes());
    hasher.update(&[0]);
    hasher
}
