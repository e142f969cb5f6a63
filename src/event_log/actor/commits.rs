//! Making what was taken durable, and what becomes of it while that is not possible.

use std::time::Duration;

use tokio::time::Instant;

use super::{LogActor, TROUBLE_RETRY};
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::ledger::Intake;
use crate::event_log::Mailbox;
use crate::event_log::recovery::opening::{self, Opened};
use crate::event_log::recovery::salvage;
use crate::event_log::retention::compaction::Compaction;
use crate::event_log::retention::room::{self, Leaving};
use crate::event_log::store::database::{Commit, NewSegment};
use crate::event_log::store::error::StorageError;
use crate::event_log::store::journal;
use crate::event_log::store::meter::Spent;
use crate::event_log::store::schema::JOURNAL_BYTES;
use crate::telemetry::events::{LogHealed, LogTrouble, LogVanished, ReadingsGivenUp, Report};

/// While commits fail, what waits is given up in parts of this share of what memory may hold.
const PARTS: usize = 8;
/// The most that is committed at once while there is little room: what waited may be more than the
/// journal can take, and would then never be stored.
const TIGHT_BYTES: usize = 256 << 10;

impl LogActor {
    /// Sees to a commit within this time.
    pub(crate) fn schedule(&mut self, within: Duration) {
        if self.trouble.is_some() {
            return; // the next attempt is scheduled, and sooner would not help
        }
        let at = Instant::now() + within;
        self.commit_at = Some(self.commit_at.map_or(at, |known| known.min(at)));
    }

    /// Sees to a commit of what is in no hurry.
    pub(crate) fn settle(&mut self) {
        let at = Instant::now() + self.config.commit_interval.settle();
        self.settle_at.get_or_insert(at);
    }

    /// Makes everything taken durable. Storage that fails is weather: it is said, what memory can hold
    /// is kept, and the commit is tried again. Damage is salvaged. Only a broken invariant is an error.
    pub(crate) fn commit(&mut self, mailbox: &Mailbox, last: bool) -> Result<(), StorageError> {
        let settling = last || self.settle_at.is_some_and(|at| at <= Instant::now());
        self.commit_at = None;
        let is_due = self.aggregates.is_due(settling) || !self.copies.is_settled();
        if self.memory.is_empty() && !is_due {
            if settling {
                // An earlier commit took along what was waiting; without this, the time stays due.
                self.settle_at = None;
            }
            return Ok(());
        }
        let mut outcome = self.try_commit(settling);
        if let Err(error) = &outcome {
            if error.is_damage() {
                self.salvage(error, mailbox)?;
                outcome = self.try_commit(settling);
            } else if error.is_full() {
                // The journal cannot grow; moved into the file, it is begun anew in its own length.
                self.tight = true;
                self.move_journal();
                outcome = self.try_commit(settling);
            }
        }
        match outcome {
            Ok(settled) => {
                self.committed(settled);
                if !self.memory.is_empty() {
                    self.schedule(Duration::ZERO);
                }
            }
            Err(error) if error.is_weather() => self.postpone(&error),
            Err(error) => return Err(error),
        }
        self.publish(mailbox);
        Ok(())
    }

    /// Says whether it settled what was in no hurry.
    fn try_commit(&mut self, mut settling: bool) -> Result<bool, StorageError> {
        if self.closed {
            self.reopen()?;
        }
        if self.doubtful {
            self.begin_journal_anew()?;
        }
        self.secure_journal()?;
        if settling {
            self.forget_discarded()?;
        }
        let most = if self.tight { TIGHT_BYTES } else { usize::MAX };
        let mut segments = self.memory.seal(self.next_seq, self.boot, most);
        let body_bytes: usize = segments.iter().map(|new| new.segment.body.len()).sum();
        let mut remove = self.make_room(&segments, &mut settling)?;
        // What leaves anyway is not worth merging.
        let merged = if remove.is_empty() { self.merge_small()? } else { None };
        if let Some(merged) = merged {
            remove.push(merged.remove);
            segments.push(merged.segment);
        }
        self.write(remove, segments, settling)?;
        self.wear.body_bytes += body_bytes as u64;
        Ok(settling)
    }

    /// What leaves without anything coming.
    pub(crate) fn commit_removal(&mut self, remove: Vec<(u64, u64)>) -> Result<(), StorageError> {
        self.write(remove, Vec::new(), true)?;
        self.aggregates.committed(true);
        self.committed_position = self.aggregates.position();
        self.leaving = Leaving::default();
        Ok(())
    }

    /// A write or a sync failed, and what it left in the journal is in doubt: a kernel that could not
    /// write a page may call it clean, so that a later sync succeeds without it. SQLite takes nothing of
    /// a failed commit for granted: it is rolled back, and the next attempt writes and syncs every frame
    /// again, at the same place. But an attempt that is shorter than the failed one leaves the end of
    /// that one behind, whole, in a journal that would look damaged after a crash. So everything
    /// committed is moved into the file first, which syncs both, and the journal is cut to nothing.
    ///
    /// Opening the database again would be no better but worse: it reads the journal from the kernel's
    /// cache, where the failed commit looks finished, and we would store its readings twice.
    fn begin_journal_anew(&mut self) -> Result<(), StorageError> {
        // With a reader in the way it is not begun anew, and that is no reason to store nothing.
        self.doubtful = !self.database.checkpoint("TRUNCATE")?;
        if room::spares_journal(&self.files) {
            drop(journal::reserve(&self.files.journal(), JOURNAL_BYTES));
        }
        Ok(())
    }

    fn write(
        &mut self,
        remove: Vec<(u64, u64)>,
        segments: Vec<NewSegment>,
        settling: bool,
    ) -> Result<(), StorageError> {
        let (events, snapshots) = self.aggregates.due(settling)?;
        let commit = Commit {
            remove,
            segments,
            snapshots,
            events,
            copies: self.copies.staged(),
            told: self.aggregates.told_before(&self.config.told()),
            boot: self.boot,
        };
        self.database.commit(&commit)?;
        self.copies_committed();
        Ok(())
    }

    fn postpone(&mut self, error: &StorageError) {
        self.full = error.is_full();
        // A journal without room was not finished: nothing of it can be taken for a commit.
        self.doubtful |= !self.full;
        if self.trouble.replace(error.advice()).is_none() {
            LogTrouble { path: self.files.log(), error, remedy: error.remedy() }.report();
        }
        self.commit_at = Some(Instant::now() + TROUBLE_RETRY);
    }

    fn committed(&mut self, settled: bool) {
        let stored = self.memory.clear();
        self.next_seq += stored as u64;
        self.compaction.committed(stored);
        self.leaving = Leaving::default();
        self.aggregates.committed(settled);
        self.stored_bytes = self.aggregates.books.bytes();
        if settled {
            self.settle_at = None;
        }
        self.committed_position = self.aggregates.position();
        self.count_wear();
        self.full = false;
        self.tight = !room::spares_journal(&self.files);
        if self.trouble.take().is_some() {
            LogHealed { path: self.files.log() }.report();
        }
        tracing::debug!(head = self.next_seq - 1, "committed");
    }

    fn count_wear(&mut self) {
        let Spent { syncs, bytes } = self.database.spent();
        self.wear.commits += 1;
        self.wear.syncs += syncs;
        self.wear.written_bytes += bytes;
    }

    /// Gives up the oldest readings in memory when there are more than it may hold, and counts them
    /// as overflow of the ports they came from.
    pub(crate) fn keep_newest(&mut self) {
        self.part();
        while self.is_filled() {
            let Some(block) = self.memory.give_up() else { return };
            let mut count = 0;
            for (sensor, overflow) in block.counts() {
                count += overflow;
                let port = self.aggregates.registry.sensor(sensor).map(|sensor| &sensor.port);
                let port = port.cloned().unwrap_or_default();
                let intake = Intake { overflow, ..Intake::default() };
                self.record(Stream::ledger(), Event::TookIn { port, intake });
            }
            ReadingsGivenUp { count }.report();
        }
    }

    /// Keeps what memory holds in parts that can be given up, or committed, one by one.
    pub(crate) fn part(&mut self) {
        if self.memory.open_len() >= self.config.commit_readings / PARTS {
            self.memory.rotate();
        }
    }

    /// The file was deleted or replaced under the open log, whose content is still there: it is written
    /// to its path again. What stands there meanwhile is set aside.
    pub(crate) fn replace_vanished(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        LogVanished { path: self.files.log() }.report();
        let again = self.write_again();
        self.weathered(again)?;
        self.publish(mailbox);
        Ok(())
    }

    /// Storage that fails while the log is written anew is the same weather as ever.
    pub(crate) fn weathered(&mut self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        match done {
            Err(error) if error.is_weather() => self.postpone(&error),
            done => return done,
        }
        Ok(())
    }

    fn write_again(&mut self) -> Result<(), StorageError> {
        self.files.create_folder()?;
        // Under its final name it would be taken for whole by whoever opens the log next.
        self.database.copy_to(&self.files.unfinished())?;
        salvage::place(&self.files)?;
        self.close()?;
        self.reopen()
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.closed = true;
        self.database.close()
    }

    /// Opens what is at the path of a log that was closed in order to be replaced.
    fn reopen(&mut self) -> Result<(), StorageError> {
        let opened = opening::open(&self.files, &self.config.names(), self.clock.boot_id())?;
        self.go_on(opened)
    }

    /// What was damaged is moved into a new log; what memory holds goes on in it.
    pub(crate) fn salvage(
        &mut self,
        error: &StorageError,
        mailbox: &Mailbox,
    ) -> Result<(), StorageError> {
        let done = self.salvage_and_reopen(error);
        self.weathered(done)?;
        self.publish(mailbox);
        Ok(())
    }

    fn salvage_and_reopen(&mut self, error: &StorageError) -> Result<(), StorageError> {
        self.close()?;
        let boot_id = self.clock.boot_id();
        let opened = opening::salvage(&self.files, &self.config.names(), boot_id, error)?;
        self.go_on(opened)
    }

    /// Goes on in another file; what memory holds and staged goes with it.
    fn go_on(&mut self, opened: Opened) -> Result<(), StorageError> {
        self.identity = self.files.identity()?;
        let staged = self.aggregates.staged().to_vec();
        let Opened { database, aggregates, next_seq, news, copied } = opened;
        (self.database, self.aggregates, self.next_seq) = (database, aggregates, next_seq);
        self.stored_bytes = self.aggregates.books.bytes();
        self.closed = false;
        self.evicted_to = [0; 3];
        self.marks.clear();
        self.leaving = Leaving::default();
        self.compaction = Compaction::new();
        self.committed_position = self.aggregates.position();
        self.reconcile(copied);
        let again = staged.into_iter().map(|staged| (staged.stream, staged.event));
        for (stream, event) in again.chain(news) {
            self.record(stream, event);
        }
        self.settle();
        Ok(())
    }
}
