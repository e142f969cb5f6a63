//! The log's loop: it takes readings, commits them in groups, and hands them out.
//!
//! Every call to SQLite happens here and blocks, so the actor has a thread of its own. It ends when all its
//! handles are gone, after a last commit. `commits.rs` makes the commits.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

use outstation_codec::Lane;

use super::open_segments::OpenSegments;
use super::schedule::{CommitSchedule, RETRY};
use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::event_log::handle::{Acknowledgement, Append, Ask, LogRequest, Mailbox, Recalled};
use crate::event_log::offer::offers::{Next, Offers};
use crate::event_log::offer::view::SinkBacklog;
use crate::event_log::quarantine::kept::Copies;
use crate::event_log::quarantine::orders::Orders;
use crate::event_log::recovery::opening::{self, Opened};
use crate::event_log::retention::compaction::Compaction;
use crate::event_log::retention::room::Retention;
use crate::event_log::settings::LogConfig;
use crate::event_log::state::log_state::LogState;
use crate::event_log::status::{Disk, LogStatus, Progress};
use crate::event_log::store::error::StorageError;
use crate::event_log::store::files::Files;
use crate::event_log::store::storage::Storage;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::{LogOpened, Report};

/// The running log.
#[derive(Debug)]
pub struct LogActor {
    pub(super) state: LogState,
    pub(super) storage: Storage,
    pub(super) segments: OpenSegments,
    pub(super) offers: Offers,
    pub(super) retention: Retention,
    pub(super) compaction: Compaction,
    pub(super) copies: Copies,
    pub(super) orders: Orders,
    pub(super) schedule: CommitSchedule,
}

impl LogActor {
    /// Opens the log at the path in its settings and fits it to its bounds. The caller need not know
    /// whether the log is missing, damaged, or of an earlier boot.
    pub fn open(config: LogConfig, clock: Clock) -> Result<Self, StorageError> {
        let files = Files::of(&config.path);
        files.create_folder()?;
        files.check_owner()?;
        let lock = files.lock()?;
        let opened = opening::open(&files, &config.names(), clock.boot_id())?;
        let Opened { database, aggregates, next_seq, events, copied } = opened;
        let mut actor = Self {
            retention: Retention::new(config.bytes_max),
            storage: Storage::new(files, lock, database)?,
            state: LogState::new(config, clock, aggregates, next_seq),
            segments: OpenSegments::new(),
            offers: Offers::default(),
            compaction: Compaction::new(),
            copies: Copies::default(),
            orders: Orders::default(),
            schedule: CommitSchedule::default(),
        };
        actor.anchor_clock();
        for (stream, event) in events {
            actor.state.record(stream, event);
        }
        actor.enter_generation();
        actor.welcome_sinks()?;
        actor.copies.reconcile(&mut actor.state, &copied);
        actor.schedule_copies();
        match actor.fit() {
            // Making the file smaller takes room itself. The segments chosen for eviction leave with the
            // next commit.
            Err(error) if error.is_full() => actor.storage.empty_journal(),
            fitted => fitted?,
        }
        let database = actor.storage.database();
        let next_seq = actor.state.next_seq();
        LogOpened { path: database.path(), epoch: database.epoch(), next_seq }.report();
        Ok(actor)
    }

    /// Runs until all handles are gone.
    pub async fn run(
        mut self,
        mailbox: Arc<Mutex<Mailbox>>,
        mut heartbeat: Heartbeat,
    ) -> Result<(), StorageError> {
        let mut mailbox = mailbox.lock().await;
        let mailbox = &mut *mailbox;
        let wear = mailbox.status.borrow().wear;
        self.storage.resume_wear(wear);
        self.publish(mailbox);
        let (mut appending, mut reading) = (true, true);
        while appending || reading {
            let commit_at = self.schedule.next(self.is_failing());
            let commit_due = async {
                match commit_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // All arms are cancel-safe: receiving and sleeping lose nothing when dropped, and settings that
            // were not read remain marked as changed.
            tokio::select! {
                append = mailbox.appends.recv(), if appending && self.has_room() => match append {
                    Some(append) => self.take(append),
                    None => appending = false,
                },
                request = mailbox.requests.recv(), if reading => match request {
                    Some(request) => self.answer(request, mailbox)?,
                    None => reading = false,
                },
                () = commit_due => self.commit(mailbox, false)?,
                Ok(()) = mailbox.settings.changed() => self.reconfigure(mailbox)?,
                () = heartbeat.answer() => self.on_tick(mailbox)?,
                // Between two parts of an order, the other arms get their turn.
                () = yield_now(), if self.has_order_underway() => {}
            }
            if self.has_order_underway() {
                self.continue_order(mailbox)?;
            }
            while let Some(append) =
                self.has_room().then(|| mailbox.appends.try_recv().ok()).flatten()
            {
                self.take(append);
            }
            if self.is_filled() && !self.is_failing() {
                self.commit(mailbox, false)?;
            }
        }
        self.commit_last(mailbox).await
    }

    /// Makes the last commit and repeats it while it fails, because ending would drop accepted readings.
    /// The supervisor's deadline ends the attempts and reports the log as late, and the app reports how
    /// many readings are lost.
    async fn commit_last(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.commit(mailbox, true)?;
        while self.is_failing() {
            sleep(RETRY).await;
            self.commit(mailbox, true)?;
        }
        self.report_quarantine();
        Ok(())
    }

    /// Says whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.storage.health().trouble().is_some()
    }

    /// While commits fail there is always room, because the newest readings are worth more than the oldest.
    fn has_room(&self) -> bool {
        self.is_failing() || !self.is_filled()
    }

    fn is_filled(&self) -> bool {
        self.segments.is_filled(self.state.config().commit_readings)
    }

    /// Takes the message of a port.
    pub(in crate::event_log) fn take(&mut self, append: Append) {
        let Append { port, lane, mut readings, mut alarms, intake, events } = append;
        let pressing = !readings.is_empty() || !events.is_empty();
        let alarming = !alarms.is_empty();
        for (stream, event) in events {
            self.state.record(stream, event);
        }
        for (lane, readings) in [(lane, &mut readings), (Lane::Alarm, &mut alarms)] {
            if !readings.is_empty() {
                self.segments.take(lane, readings, &mut self.state);
            }
        }
        if alarming {
            self.segments.rotate();
        }
        if !intake.is_empty() {
            self.state.record(Stream::ledger(), Event::TookIn { port, intake });
        }
        if self.is_failing() {
            self.segments.keep_newest(&mut self.state);
        } else if self.storage.health().is_tight() {
            self.segments.part(self.state.config().commit_readings);
        }
        let intervals = self.state.config().commit_interval;
        if alarming {
            self.schedule_within(intervals.alarm);
        } else if pressing {
            self.schedule_within(intervals.of(lane));
        } else {
            self.schedule_deferred();
        }
    }

    fn answer(&mut self, request: LogRequest, mailbox: &Mailbox) -> Result<(), StorageError> {
        match request {
            // If the asker is gone, nothing is lost: readings that were not handed over stay pending.
            LogRequest::Next { sink, ask, answer } => {
                let next = match self.next(&sink, ask) {
                    Err(error) => {
                        self.salvage(&error, mailbox)?;
                        self.next(&sink, ask)?
                    }
                    Ok(next) => next,
                };
                if next.wrote_off {
                    self.schedule_within(self.state.config().commit_interval.live);
                }
                if next.wrote_off || next.mark_moved {
                    self.publish(mailbox);
                }
                let _ = answer.send(next.batch);
            }
            LogRequest::Acknowledge { sink, receipt, answer } => {
                self.acknowledged(&sink, receipt);
                self.publish(mailbox);
                let _ = answer.send(());
            }
            LogRequest::Quarantine { sink, refused, answer } => {
                self.copies.refuse(&mut self.state, &sink, &refused);
                self.schedule_deferred();
                self.publish(mailbox);
                let _ = answer.send(());
            }
            LogRequest::Order { order, answer } => {
                if self.orders.take(&self.state, &order, answer) {
                    self.continue_order(mailbox)?;
                }
            }
            LogRequest::Recall { sink, answer } => {
                let aggregates = self.state.aggregates();
                let breakers = aggregates.breakers.get(&sink).cloned().unwrap_or_default();
                let budget = aggregates.budgets.get(&sink).copied();
                let _ = answer.send(Recalled { breakers, budget });
            }
        }
        Ok(())
    }

    fn next(&mut self, sink: &str, ask: Ask) -> Result<Next, StorageError> {
        if self.storage.health().is_closed() {
            return Ok(Next::default());
        }
        let database = self.storage.database();
        let next = self.offers.next(database, &mut self.state, &mut self.copies, sink, ask);
        self.schedule_copies();
        next
    }

    fn acknowledged(&mut self, sink: &str, receipt: Acknowledgement) {
        let stream = Stream::delivery(sink);
        for (first, last) in receipt.readings {
            self.state.record(stream.clone(), Event::Acknowledged { first, last });
            self.copies.accepted(&mut self.state, sink, first, last);
        }
        if let Some(through) = receipt.events {
            self.state.record(stream, Event::EventsAcknowledged { through });
        }
        self.schedule_deferred();
    }

    /// Goes on with other settings as if the log had been opened with them. Messages still in the mailbox
    /// were accepted under the old settings, from ports that may be gone, so they are committed with the
    /// change.
    fn reconfigure(&mut self, mailbox: &mut Mailbox) -> Result<(), StorageError> {
        let Some(settings) = mailbox.settings.borrow_and_update().clone() else { return Ok(()) };
        while let Ok(append) = mailbox.appends.try_recv() {
            self.take(append);
        }
        self.retention.set_bytes_max(settings.bytes_max);
        self.state.reconfigure(settings);
        self.offers.forget_marks();
        self.enter_generation();
        let adjusted = self.welcome_sinks();
        self.tolerate(adjusted)?;
        self.copies.keep_to_limits(&mut self.state);
        self.schedule_copies();
        self.commit(mailbox, true)?;
        // The books count the readings that memory still holds, so nothing may be committed without them.
        if self.segments.is_empty() {
            let fitted = self.fit();
            self.tolerate(fitted)?;
            self.publish(mailbox);
        }
        Ok(())
    }

    fn enter_generation(&mut self) {
        if self.state.enter_generation() {
            self.schedule_within(self.state.config().commit_interval.live);
        }
    }

    fn welcome_sinks(&mut self) -> Result<(), StorageError> {
        let oldest = self.storage.database().oldest_seq()?;
        if self.state.welcome_sinks(oldest) {
            self.schedule_deferred();
        }
        Ok(())
    }

    /// Checks on each heartbeat what may have changed without a message.
    fn on_tick(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.anchor_clock();
        self.copies.report_in_time(self.state.clock().now());
        self.storage.renew_ballast();
        if self.storage.is_vanished() { self.replace_vanished(mailbox) } else { Ok(()) }
    }

    fn anchor_clock(&mut self) {
        if self.state.anchor_clock() {
            self.schedule_within(self.state.config().commit_interval.live);
        }
    }

    /// Reports what happened to the quarantine and was not reported yet.
    pub(super) fn report_quarantine(&mut self) {
        self.copies.report();
    }

    /// Gives tests access to parts that they read or change directly.
    #[cfg(test)]
    pub(in crate::event_log) fn parts(&mut self) -> (&mut LogState, &Storage) {
        (&mut self.state, &self.storage)
    }

    /// Publishes the status of the log.
    pub fn publish(&mut self, mailbox: &Mailbox) {
        let sinks = self.state.config().names().into_iter();
        let sinks = sinks.map(|sink| (sink.clone(), self.progress(&sink))).collect();
        let (state, storage, database) = (&self.state, &self.storage, self.storage.database());
        let trouble = storage.health().trouble().map(|trouble| trouble.advice.clone());
        let usage = storage.usage().unwrap_or_default();
        mailbox.status.send_replace(LogStatus {
            accepting: trouble.is_none(),
            trouble,
            path: database.path().display().to_string(),
            epoch: database.epoch(),
            head: state.head(),
            disk: Disk {
                used_bytes: usage.used,
                file_bytes: usage.file,
                aside_bytes: usage.aside,
                room_bytes: self.retention.room(),
            },
            wear: storage.wear(),
            sensors: state.aggregates().registry.len(),
            clock_set: state.is_clock_set(),
            ports: state.aggregates().books.ports.clone(),
            stored_bytes: state.stored_bytes().clone(),
            found_bytes: state.found_bytes().clone(),
            sinks,
            ledger: state.ledger(self.segments.len() as u64),
        });
    }

    fn progress(&mut self, sink: &str) -> Progress {
        let (state, database) = (&self.state, self.storage.database());
        let SinkBacklog { mut pending_lanes, mut backlog, oldest_ms } =
            self.offers.backlog(database, state, sink);
        let replayed = state.aggregates().quarantine(sink).replayed.count();
        pending_lanes.backfill |= replayed > 0;
        backlog += replayed;
        let takes_events = state.config().rules(sink).is_some_and(|rules| rules.events);
        let acknowledged = state.aggregates().delivery(sink).events;
        let pending_events =
            if takes_events { state.committed_position().saturating_sub(acknowledged) } else { 0 };
        let all = state.aggregates().progress(sink, state.head());
        Progress { pending_lanes, backlog, oldest_ms, pending_events, ..all }
    }
}
