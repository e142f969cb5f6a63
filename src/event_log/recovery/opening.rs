//! Opens the log at a path so that it can be written, in whatever state it is found.
//!
//! ```text
//!  salvage finished, files not yet in place ─▶ put them in place
//!  nothing                                  ─▶ a new log
//!  a log                                    ─▶ open it
//!  a copy, or one whose last commit is torn ─▶ open it, new epoch
//!  anything damaged                         ─▶ salvage into a new log, new epoch; set the old one aside
//!  a newer format, another program's        ─▶ refuse, untouched
//! ```
//!
//! A new epoch begins wherever it cannot be proved that the next numbers were never given out. Otherwise a
//! receiver would take the new readings for repeats and drop them.

use outstation_codec::{EpochReason, Loss, PublishedEvent};

use super::salvage;
use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::copies::Copied;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::{Result, StorageError};
use crate::event_log::store::files::{self, Files};
use crate::event_log::store::journal::{self, JournalState};
use crate::event_log::store::schema::{JOURNAL_BYTES, is_known};
use crate::event_log::store::space;
use crate::telemetry::events::{LogBegan, Report};

/// How many ranges of lost readings are published after a salvage.
const RANGES_PUBLISHED: usize = 64;

/// An open log that its actor can use.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) aggregates: Aggregates,
    pub(crate) next_seq: u64,
    /// What was found while opening; the caller must record these events.
    pub(crate) events: Vec<(Stream, Event)>,
    /// The copies that the quarantine table holds.
    pub(crate) copied: Copied,
}

/// Opens the log for these sinks, in this boot of the device. The caller must hold the lock.
pub(crate) fn open(files: &Files, sinks: &[String], boot_id: &str) -> Result<Opened> {
    salvage::finish(files)?;
    for path in [files.log(), &files.journal(), &files.journal_index()] {
        files.clear_away(path)?;
    }
    match as_it_is(files, boot_id) {
        Err(error) if error.is_damage() => salvage(files, sinks, boot_id, &error),
        other => other,
    }
}

/// Moves what is readable of a damaged log into a new one, and opens that.
pub(crate) fn salvage(
    files: &Files,
    sinks: &[String],
    boot_id: &str,
    error: &StorageError,
) -> Result<Opened> {
    let lost = salvage::salvage(files, sinks, error)?;
    let mut opened = as_it_is(files, boot_id)?;
    // The books count these readings already; the sinks learn of them by these events.
    let published = lost.into_iter().take(RANGES_PUBLISHED).map(|(first, last)| {
        (Stream::ledger(), PublishedEvent::Lost { loss: Loss::Damaged, first, last }.into())
    });
    opened.events.extend(published);
    Ok(opened)
}

fn as_it_is(files: &Files, boot_id: &str) -> Result<Opened> {
    let found = files::len(files.log()) > 0;
    let journal = journal::inspect(&files.journal())
        .map_err(|source| files.failed("read the journal of", source))?;
    if journal == JournalState::Damaged || (!found && journal != JournalState::Absent) {
        return Err(StorageError::Journal { path: files.log().to_owned() });
    }
    if journal != JournalState::Absent {
        // A process that was killed between writing a commit and syncing it left the commit with the
        // kernel. From now on the commit counts and will be offered, so a power cut must not take it away.
        journal::sync(&files.journal())
            .map_err(|source| files.failed("sync the journal of", source))?;
    }
    let mut database = Database::open(files.log(), new_epoch()).map_err(|error| match error {
        StorageError::Newer { .. } | StorageError::Foreign { .. } if is_known(files.log()) => {
            StorageError::Checksum { what: "header" }
        }
        other => other,
    })?;
    // The commit was found torn now, or by an opening that was cut short before it began the epoch.
    let torn = journal == JournalState::Torn || files.torn().exists();
    if journal == JournalState::Torn {
        note_torn(files);
        // Otherwise the parts would remain behind the next commits, and after the next power cut there
        // would be two incomplete commits, which counts as damage.
        database.checkpoint("TRUNCATE")?;
    }
    // Without the reserved room, commits cost more but succeed. On a disk that is nearly full, the room
    // would be missing where the journal is moved to.
    if space::spares_journal(files) {
        drop(journal::reserve(&files.journal(), JOURNAL_BYTES));
    }
    let aggregates = load(&database)?;
    if !database.newest_is_sound()? {
        return Err(StorageError::Checksum { what: "end of the log" });
    }
    // A number that was given out is never used again, whatever became of its row.
    let next_seq = database.next_seq()?.max(aggregates.last_accounted() + 1);
    let copied = database.copied()?;
    let mut opened = Opened { database, aggregates, next_seq, events: Vec::new(), copied };
    if let Some(reason) = opened.break_of_continuity(files, torn, boot_id)? {
        opened.begin_epoch(reason, files)?;
    }
    if torn {
        forget_torn(files);
    }
    Ok(opened)
}

/// Replays every stream of the log from its last snapshot.
pub(crate) fn load(database: &Database) -> Result<Aggregates> {
    let (versions, position) = (database.versions()?, database.last_position()?);
    Aggregates::rebuilt(versions, position, |stream| database.history(stream))
}

/// Marks the log as torn before the parts are removed, because the new epoch is durable only long after. In
/// between, the journal gets its whole length, and power that has come back often fails again. Without the
/// mark, the next opening would find nothing wrong and give out the numbers under the old epoch. If marking
/// fails for want of room, the log is opened all the same: closed, it would lose readings for certain.
fn note_torn(files: &Files) {
    drop(files::create_private(&files.torn()).map(|_| files.sync_folder()));
}

/// Removes the mark. If it comes back after a power cut, one more epoch begins.
fn forget_torn(files: &Files) {
    files::remove(&files.torn());
    drop(files.sync_folder());
}

impl Opened {
    /// Returns why the next numbers may have been given out before; `None` if they were not.
    fn break_of_continuity(
        &mut self,
        files: &Files,
        torn: bool,
        boot_id: &str,
    ) -> Result<Option<EpochReason>> {
        let known = self.database.identity()?;
        let file = files.identity()?;
        if known == salvage::IDENTITY {
            return Ok(Some(EpochReason::Salvaged));
        }
        if known.is_empty() {
            // The log was just made.
            self.database.identify(self.database.epoch(), file)?;
            let fresh = self.next_seq == 1 && self.aggregates.position() == 0;
            return Ok(fresh.then_some(EpochReason::Created));
        }
        if known != file {
            return Ok(Some(EpochReason::Copied));
        }
        // While the device runs, everything that a killed process wrote is present: if its last commit is
        // torn, it was not finished, and its numbers were not given out. After a power cut the storage may
        // have lost a synced page. The first commit of a boot records that boot; until then a kill is
        // treated as a power cut.
        let same_boot = self.aggregates.boots.number_of(boot_id).is_some();
        Ok((torn && !same_boot).then_some(EpochReason::Torn))
    }

    fn begin_epoch(&mut self, reason: EpochReason, files: &Files) -> Result<()> {
        let epoch = new_epoch();
        self.database.identify(epoch, files.identity()?)?;
        let from = self.database.oldest_seq()?.min(self.next_seq);
        self.events
            .push((Stream::log(), PublishedEvent::EpochBegan { epoch, from, reason }.into()));
        LogBegan { path: self.database.path(), epoch, reason: reason.name() }.report();
        Ok(())
    }
}

/// A random epoch of 52 bits: it is exact in a JSON number, and long enough not to repeat on a device.
fn new_epoch() -> u64 {
    Clock::entropy() >> 12
}
