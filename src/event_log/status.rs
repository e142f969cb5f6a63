//! The log as others see it.

use std::collections::BTreeMap;

use super::actor::LogActor;
use super::inspect::State;
use super::offer::lanes::Due;
use super::state::aggregates::Aggregates;
use super::{Mailbox, Owed};
use crate::domain::model::ledger::{Intake, Ledger};
use crate::domain::model::quarantine::Quarantine;
use crate::domain::model::reading_class::Standing;

/// What one sink has and lacks.
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
    pub owed: Owed,
    /// Readings that left the log before it had them, because it is best-effort.
    pub skipped: u64,
    /// Refused, and kept aside.
    pub quarantined: u64,
    /// Refused, and kept no longer.
    pub refused: u64,
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

impl Aggregates {
    /// What a sink has and lacks of the readings up to this one; no word of lanes and events.
    pub(super) fn progress(&self, sink: &str, head: u64) -> Progress {
        let standing = self.standing(sink);
        let classes = self.books.classes(&[standing]);
        let Quarantine { skipped, forgotten, .. } = standing.quarantine;
        let (delivered, refused) = (classes.delivered.count(), classes.refused.count());
        let (evicted, damaged) = (classes.evicted.count(), classes.damaged.count());
        let quarantined = classes.quarantined.count();
        let gone = delivered + quarantined + refused + evicted + damaged;
        Progress {
            delivered: delivered.saturating_sub(skipped.count() + forgotten),
            pending: head.saturating_sub(gone),
            quarantined,
            refused: refused + forgotten,
            skipped: skipped.count(),
            ..Progress::default()
        }
    }
}

/// What a reader beside the daemon asks of the sinks.
impl State {
    pub fn progress(&self, sink: &str) -> Progress {
        let untold = self.position().saturating_sub(self.delivery(sink).told);
        Progress { untold, ..self.aggregates.progress(sink, self.next_seq - 1) }
    }

    pub fn quarantine(&self, sink: &str) -> &Quarantine {
        self.aggregates.quarantine(sink)
    }

    /// Those that have refused something.
    pub fn refusing_sinks(&self) -> Vec<String> {
        self.aggregates.quarantines.keys().cloned().collect()
    }
}

impl LogActor {
    /// How the sinks stand that each reading has to reach.
    pub(super) fn counting(&self) -> Vec<Standing<'_>> {
        self.aggregates.standings(&self.config.waited_for())
    }

    /// Tells how the log stands.
    pub fn publish(&mut self, mailbox: &Mailbox) {
        let head = self.next_seq - 1;
        let sinks = self.config.names().into_iter();
        let sinks = sinks.map(|sink| (sink.clone(), self.progress(&sink))).collect();
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
            sinks,
            ledger: self.aggregates.books.ledger(head, self.memory.len() as u64, &self.counting()),
        });
    }

    fn progress(&mut self, sink: &str) -> Progress {
        // What cannot be read is owed in no lane; whoever asks for it is told nothing either.
        let Due { mut owed, mut backlog, oldest_ms } = self.due(sink).unwrap_or_default();
        let replayed = self.aggregates.quarantine(sink).replayed.count();
        owed.backfill |= replayed > 0;
        backlog += replayed;
        let is_told = self.config.rules(sink).is_some_and(|rules| rules.told);
        let told = self.aggregates.delivery(sink).told;
        let untold = if is_told { self.committed_position.saturating_sub(told) } else { 0 };
        Progress {
            owed,
            backlog,
            oldest_ms,
            untold,
            ..self.aggregates.progress(sink, self.next_seq - 1)
        }
    }
}
