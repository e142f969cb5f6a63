//! The log as others see it.

use std::collections::BTreeMap;

use super::Mailbox;
use super::actor::LogActor;
use crate::domain::ledger::{Intake, Ledger};

/// What one sink has and lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub delivered: u64,
    pub pending: u64,
    /// Events it was not told yet.
    pub untold: u64,
}

impl Progress {
    pub fn is_owed(&self) -> bool {
        self.pending > 0 || self.untold > 0
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

impl LogActor {
    /// Tells how the log stands.
    pub fn publish(&self, mailbox: &Mailbox) {
        let head = self.next_seq - 1;
        let progress = |sink: &String| {
            let delivery = self.aggregates.delivery(sink);
            let ledger = self.aggregates.books.ledger(head, 0, &delivery.readings);
            let told = if self.config.told.contains(sink) { delivery.told } else { u64::MAX };
            let untold = self.committed_position.saturating_sub(told);
            let (delivered, pending) = (ledger.delivered, ledger.pending);
            (sink.clone(), Progress { delivered, pending, untold })
        };
        let delivered = self.aggregates.delivered_to_all(&self.config.sinks);
        let anchor = self.aggregates.boots.get(self.boot).and_then(|boot| boot.anchor);
        let usage = self.usage().unwrap_or_default();
        mailbox.status.send_replace(LogStatus {
            accepting: self.trouble.is_none(),
            trouble: self.trouble.clone(),
            path: self.database.path().display().to_string(),
            epoch: self.database.epoch(),
            head,
            disk: Disk {
                used_bytes: usage.used,
                file_bytes: usage.file,
                aside_bytes: usage.aside,
                room_bytes: self.bounds.room(),
            },
            wear: self.wear,
            sensors: self.aggregates.registry.len(),
            clock_set: anchor.is_some_and(|anchor| anchor.set),
            ports: self.aggregates.books.ports.clone(),
            stored_bytes: self.stored_bytes.clone(),
            found_bytes: self.found_bytes.clone(),
            sinks: self.config.sinks.iter().map(progress).collect(),
            ledger: self.aggregates.books.ledger(head, self.memory.len() as u64, &delivered),
        });
    }
}
