//! Makes accepted readings durable, and keeps them while that is not possible.

use std::time::Duration;

use super::log_actor::LogActor;
use crate::domain::model::quarantine::{Done, QuarantineOrder};
use crate::event_log::handle::Mailbox;
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::quarantine::kept::forget_discarded;
use crate::event_log::quarantine::orders::select;
use crate::event_log::recovery::opening::{self, Opened};
use crate::event_log::recovery::salvage;
use crate::event_log::retention::compaction::Compaction;
use crate::event_log::store::commit::{Commit, NewSegment};
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::files::Files;
use crate::telemetry::events::{LogVanished, Report};

/// The most bytes of one commit while there is little room. All that waits may be more than the journal can
/// take, and would then never be stored.
const TIGHT_BYTES: usize = 256 << 10;

impl LogActor {
    /// Schedules a commit within this time.
    pub(super) fn schedule_within(&mut self, time: Duration) {
        // While commits fail, the next attempt is scheduled already, and an earlier one would not help.
        if !self.is_failing() {
            self.schedule.within(time);
        }
    }

    /// Schedules a commit for changes that can wait.
    pub(super) fn schedule_deferred(&mut self) {
        self.schedule.defer_within(self.state.config().commit_interval.deferred());
    }

    /// Schedules a commit for changes of the quarantine, if there are any.
    pub(super) fn schedule_copies(&mut self) {
        if !self.copies.is_committed() {
            self.schedule_deferred();
        }
    }

    /// Makes everything accepted durable; with `last`, also the changes that can wait. If the storage fails
    /// in a way that may pass, the failure is reported, the newest readings that memory can hold are kept,
    /// and the commit is tried again. A damaged log is salvaged. Only a broken invariant is an error.
    pub(in crate::event_log) fn commit(
        &mut self,
        mailbox: &Mailbox,
        last: bool,
    ) -> Result<(), StorageError> {
        let with_deferred = self.schedule.begin() || last;
        let is_pending =
            self.state.aggregates().has_staged(with_deferred) || !self.copies.is_committed();
        if self.segments.is_empty() && !is_pending {
            if with_deferred {
                // An earlier commit took the deferred changes along; without this, their time would stay
                // due.
                self.schedule.deferred_done();
            }
            return Ok(());
        }
        let mut outcome = self.try_commit(with_deferred);
        if let Err(error) = &outcome {
            if error.is_damage() {
                self.salvage(error, mailbox)?;
                outcome = self.try_commit(with_deferred);
            } else if error.is_full() {
                self.storage.ran_short();
                outcome = self.try_commit(with_deferred);
            }
        }
        if outcome.is_ok() && !self.segments.is_empty() {
            self.schedule_within(Duration::ZERO);
        }
        self.tolerate(outcome)?;
        self.publish(mailbox);
        Ok(())
    }

    fn try_commit(&mut self, mut with_deferred: bool) -> Result<(), StorageError> {
        if self.storage.health().is_closed() {
            self.replace(opening::open)?;
        }
        self.storage.prepare_journal()?;
        if with_deferred {
            forget_discarded(&mut self.state, self.storage.database())?;
        }
        let most = if self.storage.health().is_tight() { TIGHT_BYTES } else { usize::MAX };
        let mut segments = self.segments.seal(self.state.next_seq(), self.state.boot(), most);
        let body_bytes: usize = segments.iter().map(|new| new.segment.body.len()).sum();
        let mut remove = self.retention.make_room(
            &self.storage,
            &mut self.state,
            &mut self.copies,
            &segments,
            self.segments.len(),
            &mut with_deferred,
        )?;
        // Segments are merged only if none leave, since those could be the ones merged.
        if remove.is_empty() {
            let ends = || self.offers.ends(&self.state);
            if let Some(merged) = self.compaction.next_merged(self.storage.database(), ends)? {
                remove.push(merged.remove);
                segments.push(merged.segment);
            }
        }
        self.write(remove, segments, with_deferred)?;
        let stored = self.segments.clear();
        self.compaction.committed(stored);
        self.retention.committed();
        self.state.committed(stored, with_deferred);
        self.storage.committed(body_bytes as u64);
        if with_deferred {
            self.schedule.deferred_done();
        }
        tracing::debug!(head = self.state.head(), "committed");
        Ok(())
    }

    /// Evicts everything above a bound that was lowered, and copies the file to make it smaller. No
    /// readings may be in memory meanwhile.
    pub(super) fn fit(&mut self) -> Result<(), StorageError> {
        if !self.retention.is_oversized(&self.storage)? {
            return Ok(());
        }
        loop {
            let (state, copies) = (&mut self.state, &mut self.copies);
            let excess = self.retention.excess(&self.storage, state, copies)?;
            if excess.is_empty() && self.copies.is_committed() {
                return self.storage.shrink();
            }
            self.write(excess, Vec::new(), true)?;
            self.retention.committed();
            self.state.committed(0, true);
        }
    }

    fn write(
        &mut self,
        remove: Vec<(u64, u64)>,
        segments: Vec<NewSegment>,
        with_deferred: bool,
    ) -> Result<(), StorageError> {
        let aggregates = self.state.aggregates();
        let (events, snapshots) = aggregates.to_commit(with_deferred)?;
        let commit = Commit {
            remove,
            segments,
            snapshots,
            events,
            copies: self.copies.staged(),
            events_to_forget: aggregates.events_to_forget(&self.state.config().take_events()),
            boot: self.state.boot(),
        };
        self.storage.commit(&commit)?;
        self.copies.committed(self.storage.database(), self.state.clock().now());
        Ok(())
    }

    /// Turns a failure of the storage that may pass into a report and a new attempt; other errors are
    /// returned.
    pub(super) fn tolerate(&mut self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        match done {
            Err(error) if error.is_transient() => {
                self.storage.failed(&error);
                self.schedule.retry();
                Ok(())
            }
            done => done,
        }
    }

    /// Writes the log to its path again, after its file was deleted or replaced while it was open; the
    /// content is still there. A file that took its place is set aside.
    pub(super) fn replace_vanished(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        LogVanished { path: self.storage.files().log() }.report();
        let replaced = salvage::write_again(self.storage.files(), self.storage.database())
            .and_then(|()| self.replace(opening::open));
        self.tolerate(replaced)?;
        self.publish(mailbox);
        Ok(())
    }

    /// Moves the readable rows of a damaged log into a new one, and goes on with it. Readings in memory are
    /// kept.
    pub(super) fn salvage(
        &mut self,
        error: &StorageError,
        mailbox: &Mailbox,
    ) -> Result<(), StorageError> {
        let salvaged =
            self.replace(|files, sinks, boot_id| opening::salvage(files, sinks, boot_id, error));
        self.tolerate(salvaged)?;
        self.publish(mailbox);
        Ok(())
    }

    /// Closes the file and goes on in the one that `open` makes or finds at the path, given the sinks and
    /// the boot. Readings in memory and staged events are kept.
    fn replace(
        &mut self,
        open: impl FnOnce(&Files, &[String], &str) -> Result<Opened, StorageError>,
    ) -> Result<(), StorageError> {
        let (sinks, boot_id) =
            (self.state.config().names(), self.state.clock().boot_id().to_owned());
        let (aggregates, next_seq, events, copied) = self.storage.replace(|files| {
            let Opened { database, aggregates, next_seq, events, copied } =
                open(files, &sinks, &boot_id)?;
            Ok::<(Database, _), StorageError>((database, (aggregates, next_seq, events, copied)))
        })?;
        self.retention.restart();
        self.offers.forget_marks();
        self.compaction = Compaction::new();
        let staged = self.state.replace(aggregates, next_seq);
        self.copies.reconcile(&mut self.state, &copied);
        for (stream, event) in staged.chain(events) {
            self.state.record(stream, event);
        }
        self.schedule_deferred();
        Ok(())
    }

    /// Says whether there is an order to go on with. While nothing can be written, the order waits.
    pub(super) fn has_order_underway(&self) -> bool {
        self.orders.is_underway() && !self.is_failing()
    }

    /// Carries out one part of the order that is under way.
    pub(super) fn continue_order(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.orders.apply_part(&mut self.state, &mut self.copies);
        self.schedule_copies();
        self.commit(mailbox, false)?;
        let trouble = self.storage.health().trouble();
        self.orders.committed(trouble.map(|trouble| trouble.advice.as_str()));
        Ok(())
    }

    /// Carries out a whole order, in a process that exists for it alone.
    pub(super) fn carry_out(
        &mut self,
        order: &QuarantineOrder,
        mailbox: &Mailbox,
    ) -> Result<Result<Vec<Done>, Declined>, StorageError> {
        let mut underway = match select(&self.state, order) {
            Ok(underway) => underway,
            Err(declined) => {
                self.commit(mailbox, true)?;
                return Ok(Err(declined));
            }
        };
        loop {
            let readings = underway.readings();
            underway.apply_part(&mut self.state, &mut self.copies);
            self.schedule_copies();
            self.commit(mailbox, false)?;
            if self.is_failing() || underway.is_finished() {
                self.commit(mailbox, true)?;
            }
            // Copies and their events are in one commit. Other changes that could not be written do not
            // matter here.
            if !self.copies.is_committed() {
                let trouble = self.storage.health().trouble();
                let trouble = trouble.map(|trouble| trouble.advice.clone()).unwrap_or_default();
                return Ok(Err(Declined::Unfinished { readings, trouble }));
            }
            if underway.is_finished() {
                return Ok(Ok(underway.into_done()));
            }
        }
    }
}
