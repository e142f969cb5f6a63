//! What becomes durable at once.

use outstation_codec::StoredSegment;

use super::copies::CopyChange;
use super::rows::SnapshotRow;
use crate::domain::model::event::{Event, Stream};

/// A segment on its way into the log.
#[derive(Debug)]
pub struct NewSegment {
    pub segment: StoredSegment,
    /// Arrival of the first and last reading, milliseconds since boot.
    pub first_ms: i64,
    pub last_ms: i64,
}

/// An event with its place in its stream, and among the published events.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub stream: Stream,
    pub version: u64,
    pub position: Option<u64>,
    /// When it happened, milliseconds since boot.
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
    /// Segments that begin in these ranges leave the log: delivered, evicted, or merged into others.
    pub remove: Vec<(u64, u64)>,
    pub segments: Vec<NewSegment>,
    pub events: Vec<Versioned>,
    /// Each replaces the events of its stream up to its version, but for events that are still
    /// pending for a sink.
    pub(crate) snapshots: Vec<SnapshotRow>,
    /// To the readings in quarantine.
    pub(crate) copies: Vec<CopyChange>,
    /// Published events up to this position may leave the log: they are pending for no sink, or too
    /// many.
    pub events_to_forget: u64,
    pub boot: u32,
}
