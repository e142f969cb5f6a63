//! What becomes durable in one commit.

use outstation_codec::StoredSegment;

use super::copies::CopyChange;
use super::rows::SnapshotRow;
use crate::domain::model::event::{Event, Stream};

/// A segment on its way into the log.
#[derive(Debug)]
pub struct NewSegment {
    pub segment: StoredSegment,
    /// When the first and the last reading arrived, in milliseconds since boot.
    pub first_ms: i64,
    pub last_ms: i64,
}

/// An event with its version in its stream and, if it is published, its position.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub stream: Stream,
    pub version: u64,
    pub position: Option<u64>,
    /// When it happened, in milliseconds since boot.
    pub at_ms: i64,
    pub event: Event,
}

impl Versioned {
    pub(crate) fn is_about_delivery(&self) -> bool {
        self.stream.delivery_sink().is_some()
    }
}

/// Everything that becomes durable at once.
#[derive(Debug, Default)]
pub struct Commit {
    /// Ranges of first numbers; the segments that begin in them leave the log: delivered, evicted, or
    /// merged into others.
    pub remove: Vec<(u64, u64)>,
    pub segments: Vec<NewSegment>,
    pub events: Vec<Versioned>,
    /// Each replaces the events of its stream up to its version, except those that are still pending for a
    /// sink.
    pub(crate) snapshots: Vec<SnapshotRow>,
    /// Changes of the readings in quarantine.
    pub(crate) copies: Vec<CopyChange>,
    /// Published events up to this position may leave the log: they are pending for no sink, or are too
    /// many.
    pub events_to_forget: u64,
    pub boot: u32,
}
