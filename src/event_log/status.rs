//! The log as others see it.

use std::collections::BTreeMap;

use outstation_codec::Lane;

use crate::domain::model::ledger::{Intake, Ledger};

/// Which lanes hold something for a sink.
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

/// What one sink has, and what is pending for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub delivered: u64,
    pub pending: u64,
    /// Of those, what is not fresh any more.
    pub backlog: u64,
    /// When the oldest of them arrived, in milliseconds since this boot, which one of an earlier boot
    /// was before.
    pub oldest_ms: Option<i64>,
    /// Which lanes hold something for it.
    pub pending_lanes: PendingLanes,
    /// Readings that left the log before it had them, because it is best-effort.
    pub skipped: u64,
    /// Refused, and kept aside.
    pub quarantined: u64,
    /// Refused, and kept no longer.
    pub refused: u64,
    /// Published events it does not have yet.
    pub pending_events: u64,
}

impl Progress {
    pub fn has_pending(&self) -> bool {
        self.pending > 0 || self.pending_events > 0
    }
}

/// What the log takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Of the file, what holds readings and events.
    pub used_bytes: u64,
    /// The file, free pages included.
    pub file_bytes: u64,
    /// A damaged log that was set aside.
    pub aside_bytes: u64,
    /// How far `used_bytes` may grow.
    pub room_bytes: u64,
}

/// What the log has cost the flash since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    pub commits: u64,
    /// Syncs that commits and checkpoints asked of the storage.
    pub syncs: u64,
    /// What they wrote: without what the file system and the device add to it.
    pub written_bytes: u64,
    /// What of it are readings, as they were encoded first.
    pub body_bytes: u64,
}

/// Everything the log says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStatus {
    /// Whether the log is open and its last commit succeeded.
    pub accepting: bool,
    /// Why not, as an error chain.
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
    /// By port: the bytes of its intake as of the last commit. What they gave is stored.
    pub stored_bytes: BTreeMap<String, u64>,
    /// The same as this process found it.
    pub found_bytes: BTreeMap<String, u64>,
    pub sinks: BTreeMap<String, Progress>,
    pub ledger: Ledger,
}

impl LogStatus {
    /// Whether the log has been opened since the process started.
    pub fn is_opened(&self) -> bool {
        self.epoch != 0
    }
}
