//! The log's file in use: open, locked, watched, and with room in reserve for a full file system.
//!
//! [`Storage`] owns the database, its files, the ballast and the health. Other modules decide what is
//! written and what leaves.

use std::fs::File;

use super::commit::Commit;
use super::database::Database;
use super::error::{Result, StorageError};
use super::files::{self, Files};
use super::health::StorageHealth;
use super::journal;
use super::meter::WriteCost;
use super::schema::JOURNAL_BYTES;
use super::space::{Ballast, JOURNAL_ROOM, SPARE_BYTES, free_bytes, spares_journal};
use crate::domain::policy::retention::Usage;
use crate::event_log::status::Wear;
use crate::telemetry::events::{LogHealed, LogTrouble, Report};

/// The open log and its health.
#[derive(Debug)]
pub(crate) struct Storage {
    files: Files,
    database: Database,
    health: StorageHealth,
    /// Whether the last commit failed and may have left frames in the journal.
    journal_in_doubt: bool,
    ballast: Ballast,
    /// The identity of the file; see [`Files::identity`].
    identity: Vec<u8>,
    wear: Wear,
    _lock: File,
}

impl Storage {
    /// Takes a database that was just opened. The caller holds the lock and hands it over.
    pub(crate) fn new(files: Files, lock: File, database: Database) -> Result<Self> {
        let health = StorageHealth::of_room(spares_journal(&files));
        Ok(Self {
            ballast: Ballast::new(&files),
            identity: files.identity()?,
            files,
            database,
            health,
            journal_in_doubt: false,
            wear: Wear::default(),
            _lock: lock,
        })
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn health(&self) -> &StorageHealth {
        &self.health
    }

    /// What the log has cost the flash since the process started.
    pub(crate) fn wear(&self) -> Wear {
        self.wear
    }

    /// Continues the counts of an earlier run of the log in this process.
    pub(crate) fn resume_wear(&mut self, wear: Wear) {
        self.wear = wear;
    }

    /// What the log takes on disk now.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let pages = self.database.pages()?;
        // A reader in another process can make the journal larger than the room kept for it.
        let journal = files::len(&self.files.journal()).saturating_sub(JOURNAL_ROOM);
        let (used, file) = (pages.used_bytes() + journal, pages.file_bytes());
        Ok(Usage { used, file, aside: self.files.aside_bytes() })
    }

    /// The size that the file may reach, in bytes. It keeps the pages it has, even those that are still in
    /// the journal, because giving them up frees nothing for others; and it may take what is free.
    pub(crate) fn available(&self, usage: Usage) -> u64 {
        let free = free_bytes(self.files.log()).saturating_sub(SPARE_BYTES);
        usage.file.max(files::len(self.files.log()) + free)
    }

    /// Makes a commit durable, or none of it.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<()> {
        self.database.commit(commit)
    }

    /// Prepares the journal for a commit: frames in doubt are cut off, and pages without room in the file
    /// get some.
    pub(crate) fn prepare_journal(&mut self) -> Result<()> {
        if self.journal_in_doubt {
            self.begin_journal_anew()?;
        }
        // A commit is in the journal, and the pages by which it makes the file grow have no room in the
        // file yet. While little is free they are moved at once, because another program may take the room,
        // and a journal that cannot be moved can neither be restarted nor take the commit that would make
        // room. If another program has taken the room already, the ballast is given up.
        let file = files::len(self.files.log());
        let growth = self.database.pages()?.file_bytes().saturating_sub(file);
        if growth > 0 && free_bytes(self.files.log()) < growth + SPARE_BYTES {
            self.move_journal();
        }
        Ok(())
    }

    /// Cuts off what a failed write or sync left in the journal, which is in doubt: a kernel that could not
    /// write a page may call it clean, so that a later sync succeeds without it. SQLite relies on nothing
    /// of a failed commit: it is rolled back, and the next attempt writes and syncs every frame again, at
    /// the same place. But an attempt that is shorter than the failed one leaves the end of that one
    /// behind, whole, in a journal that would look damaged after a crash. So everything committed is first
    /// moved into the file, which syncs both, and the journal is truncated.
    ///
    /// Opening the database again would be worse: SQLite would read the journal from the kernel's cache,
    /// where the failed commit looks complete, and its readings would be stored twice.
    fn begin_journal_anew(&mut self) -> Result<()> {
        // With a reader in the way the journal is not restarted, but that must not stop all storing.
        self.journal_in_doubt = !self.database.checkpoint("TRUNCATE")?;
        if spares_journal(&self.files) {
            drop(journal::reserve(&self.files.journal(), JOURNAL_BYTES));
        }
        Ok(())
    }

    /// Moves the journal into the file, and gives up the ballast for that if need be. The journal keeps its
    /// length, because room that is returned to a full file system is lost.
    fn move_journal(&mut self) {
        if self.database.checkpoint("PASSIVE").is_err_and(|error| error.is_full()) {
            self.ballast.drop();
            // If this fails too, the commit fails and reports why.
            drop(self.database.checkpoint("PASSIVE"));
        }
    }

    /// Moves all of the journal into the file and truncates it, as far as that is possible now.
    pub(crate) fn empty_journal(&mut self) {
        drop(self.database.checkpoint("TRUNCATE"));
    }

    /// Returns free pages to the file system.
    pub(crate) fn shrink(&mut self) -> Result<()> {
        self.database.shrink()
    }

    /// Moves the journal into the file, because a commit did not fit into it and it cannot grow. Then it is
    /// restarted in its own length.
    pub(crate) fn ran_short(&mut self) {
        self.health.ran_short();
        self.move_journal();
    }

    /// Records that an attempt failed in a way that may pass. The first failure is reported.
    pub(crate) fn failed(&mut self, error: &StorageError) {
        // A commit that had no room in the journal was not completed, so nothing of it can be taken for a
        // commit.
        self.journal_in_doubt |= !error.is_full();
        if self.health.failed(error) {
            LogTrouble { path: self.files.log(), error, remedy: error.remedy() }.report();
        }
    }

    /// Records that a commit succeeded; `body_bytes` are the bytes of readings in it.
    pub(crate) fn committed(&mut self, body_bytes: u64) {
        let WriteCost { syncs, bytes } = self.database.spent();
        self.wear.commits += 1;
        self.wear.syncs += syncs;
        self.wear.written_bytes += bytes;
        self.wear.body_bytes += body_bytes;
        if self.health.committed(spares_journal(&self.files)) {
            LogHealed { path: self.files.log() }.report();
        }
    }

    /// Takes the ballast again once there is room for it.
    pub(crate) fn renew_ballast(&mut self) {
        if self.health.trouble().is_none() {
            self.ballast.take();
        }
    }

    /// Says whether the file was deleted or replaced while the log was open. Storage that does not answer
    /// has not lost the file.
    pub(crate) fn is_vanished(&self) -> bool {
        let is_there = match self.files.identity() {
            Ok(file) => file == self.identity,
            Err(error) => !error.is_absent(),
        };
        !is_there && !self.health.is_closed()
    }

    /// Closes the file and goes on with the one that `open` opens in its place. If that fails, the log
    /// stays closed, and the caller must call this again.
    pub(crate) fn replace<T>(
        &mut self,
        open: impl FnOnce(&Files) -> Result<(Database, T)>,
    ) -> Result<T> {
        self.health.closing();
        self.database.close()?;
        let (database, found) = open(&self.files)?;
        self.identity = self.files.identity()?;
        self.database = database;
        self.health.reopened(spares_journal(&self.files));
        Ok(found)
    }
}
