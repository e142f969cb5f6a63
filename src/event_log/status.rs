//! What the log publishes about itself.

use std::collections::BTreeMap;

use outstation_codec::Lane;

use crate::domain::model::ledger::{Intake, Ledger};

/// Which lanes hold readings that are pending for a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingLanes {
    pub alarm: bool,
    pub live: bool,
    pub backfill: bool,
}

impl PendingLanes {
    pub fn has(&self, lane: Lane) -> bool {
        match lane {
            Lane::Alarm => self.alarm,
            Lane::Live => self.live,
            Lane::Backfill => self.backfill,
        }
    }
}

/// What one sink has and what is pending for it, in readings unless a field says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub delivered: u64,
    pub pending: u64,
    /// Those of the pending readings that are no longer fresh.
    pub backlog: u64,
    /// When the oldest pending reading arrived, in milliseconds since this boot. Zero or less if it arrived
    /// in an earlier boot.
    pub oldest_ms: Option<i64>,
    pub pending_lanes: PendingLanes,
    /// Readings that left the log before the sink had them, because it is best-effort.
    pub skipped: u64,
    /// Refused readings that are kept.
    pub quarantined: u64,
    /// Refused readings that are no longer kept.
    pub refused: u64,
    /// Published events that the sink does not have yet.
    pub pending_events: u64,
}

impl Progress {
    pub fn has_pending(&self) -> bool {
        self.pending > 0 || self.pending_events > 0
    }
}

/// The size of the log on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The part of the file that holds readings and events.
    pub used_bytes: u64,
    /// The whole file, free pages included.
    pub file_bytes: u64,
    /// A damaged log that was set aside.
    pub aside_bytes: u64,
    /// The size that `used_bytes` may reach.
    pub room_bytes: u64,
}

/// What the log has cost the flash since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    pub commits: u64,
    /// Syncs that commits and checkpoints requested from the storage.
    pub syncs: u64,
    /// Bytes that they wrote, without what the file system and the device add.
    pub written_bytes: u64,
    /// Bytes of readings, counted when they were first committed and not again when segments are merged.
    pub body_bytes: u64,
}

/// The published state of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStatus {
    /// Whether the log is open and its last commit succeeded.
    pub accepting: bool,
    /// Why the log does not accept readings, as an error chain with advice.
    pub trouble: Option<String>,
    pub path: String,
    pub epoch: u64,
    /// The last committed sequence number.
    pub head: u64,
    pub disk: Disk,
    pub wear: Wear,
    pub sensors: usize,
    pub clock_set: bool,
    pub ports: BTreeMap<String, Intake>,
    /// By port: the bytes of its intake as of the last commit. The readings from these bytes are stored.
    pub stored_bytes: BTreeMap<String, u64>,
    /// By port: the value of `stored_bytes` when this process opened the log.
    pub found_bytes: BTreeMap<String, u64>,
    pub sinks: BTreeMap<String, Progress>,
    pub ledger: Ledger,
}

impl LogStatus {
    /// Says whether the log has been opened since the process started.
    pub fn is_opened(&self) -> bool {
        self.epoch != 0
    }
}
