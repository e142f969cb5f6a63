//! The log's loop: takes readings in, commits them in groups, hands them out.
//!
//! Every call into SQLite happens here and blocks; the actor therefore has a thread of its own.
//! It ends when all its handles are gone, after a last commit.

mod commits;
pub(super) mod open_segments;
mod waiting;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::offer::lanes::Marks;
use super::quarantine::kept::Copies;
use super::quarantine::orders::Underway;
use super::recovery::opening::{self, Opened};
use super::retention::compaction::Compaction;
use super::retention::room::{Ballast, Leaving, bounds, spares_journal};
pub use super::settings::{Intervals, LogConfig, SinkRules};
use super::state::aggregates::Aggregates;
use super::store::database::Database;
use super::store::error::StorageError;
use super::store::files::Files;
use super::{Append, Mailbox, Recalled, Received, Request, Wear};
use crate::clock::Clock;
use crate::domain::codec::segment::CELLS_MAX;
use crate::domain::model::batch::Lane;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::reading::Readings;
use crate::domain::model::sensors::Mapping;
use crate::domain::policy::retention::Bounds;
use crate::supervisor::pulse::Pulse;
use crate::telemetry::events::{LogOpened, Report, SensorCrowded};
use open_segments::Memory;

/// The most values of one commit: with one message on top it stays below what a segment holds.
pub(crate) const CELLS_PER_COMMIT: usize = CELLS_MAX / 4;
/// How soon storage that failed is tried again.
pub(crate) const TROUBLE_RETRY: Duration = Duration::from_secs(1);

/// One incarnation of the log.
#[derive(Debug)]
pub struct LogActor {
    pub(crate) config: LogConfig,
    pub(crate) clock: Clock,
    _lock: File,
    pub(crate) files: Files,
    pub(crate) database: Database,
    pub(crate) aggregates: Aggregates,
    pub(crate) bounds: Bounds,
    pub(crate) ballast: Ballast,
    /// Which file the log is.
    pub(crate) identity: Vec<u8>,
    pub(crate) boot: u32,
    pub(crate) next_seq: u64,
    pub(crate) memory: Memory,
    pub(crate) commit_at: Option<Instant>,
    pub(crate) trouble: Option<String>,
    /// Whether the file system had no room at the last attempt.
    pub(crate) full: bool,
    pub(crate) tight: bool,
    /// Whether the last read failed.
    pub(crate) unreadable: bool,
    /// Sensors that were told to have too many channels.
    told_crowded: HashSet<u32>,
    /// The position of the last committed event.
    pub(crate) committed_position: u64,
    /// By sink: the ranges it was last offered by this process.
    pub(crate) offered: BTreeMap<String, Vec<(u64, u64)>>,
    /// By sink: how far its lanes have come.
    pub(crate) marks: BTreeMap<String, Marks>,
    pub(crate) compaction: Compaction,
    pub(crate) copies: Copies,
    pub(crate) underway: Option<Underway>,
    /// When acknowledgements, and intake without readings, are due.
    pub(crate) settle_at: Option<Instant>,
    /// By lane: everything before was evicted.
    pub(crate) evicted_to: [u64; 3],
    pub(crate) leaving: Leaving,
    /// Whether the last commit may have left something in the journal that was never committed.
    pub(crate) doubtful: bool,
    /// Closed to be replaced, and not opened again yet.
    pub(crate) closed: bool,
    pub(crate) wear: Wear,
    /// By port: the bytes of its intake as of the last commit.
    pub(crate) stored_bytes: BTreeMap<String, u64>,
    /// The same when the log was opened.
    pub(crate) found_bytes: BTreeMap<String, u64>,
}

/// Runs the log: the one opened already, or the one that can be opened once the storage is usable.
pub async fn run(
    opened: Option<LogActor>,
    config: LogConfig,
    clock: Clock,
    mailbox: Arc<Mutex<Mailbox>>,
    mut pulse: Pulse,
) -> Result<(), StorageError> {
    let actor = match opened {
        Some(actor) => actor,
        None => match waiting::open_when_usable(config, clock, &mailbox, &mut pulse).await? {
            Some(actor) => actor,
            None => return Ok(()),
        },
    };
    actor.run(mailbox, pulse).await
}

impl LogActor {
    pub fn open(config: LogConfig, clock: Clock) -> Result<Self, StorageError> {
        let files = Files::of(&config.path);
        files.create_folder()?;
        files.check_owner()?;
        let lock = files.lock()?;
        let opened = opening::open(&files, &config.names(), clock.boot_id())?;
        let Opened { database, aggregates, next_seq, news, copied } = opened;
        let tight = !spares_journal(&files);
        let mut actor = Self {
            clock,
            bounds: bounds(config.bytes_max),
            ballast: Ballast::new(&files),
            identity: files.identity()?,
            committed_position: aggregates.position(),
            next_seq,
            files,
            database,
            aggregates,
            boot: 0,
            memory: Memory::new(),
            commit_at: None,
            trouble: None,
            full: false,
            tight,
            unreadable: false,
            told_crowded: HashSet::new(),
            offered: BTreeMap::new(),
            marks: BTreeMap::new(),
            compaction: Compaction::new(),
            copies: Copies::default(),
            underway: None,
            settle_at: None,
            evicted_to: [0; 3],
            leaving: Leaving::default(),
            doubtful: false,
            closed: false,
            wear: Wear::default(),
            _lock: lock,
            config,
            stored_bytes: BTreeMap::new(),
            found_bytes: BTreeMap::new(),
        };
        actor.stored_bytes = actor.aggregates.books.bytes();
        actor.found_bytes = actor.stored_bytes.clone();
        actor.enter_boot();
        actor.anchor_clock();
        for (stream, event) in news {
            actor.record(stream, event);
        }
        actor.enter_generation();
        actor.welcome_sinks()?;
        actor.reconcile(copied);
        match actor.fit() {
            // It takes room to become smaller. What was chosen to leave leaves with the next commit.
            Err(error) if error.is_full() => drop(actor.database.checkpoint("TRUNCATE")),
            fitted => fitted?,
        }
        let epoch = actor.database.epoch();
        LogOpened { path: actor.database.path(), epoch, next_seq }.report();
        Ok(actor)
    }

    /// Runs until its handles are gone.
    pub async fn run(
        mut self,
        mailbox: Arc<Mutex<Mailbox>>,
        mut pulse: Pulse,
    ) -> Result<(), StorageError> {
        let mut mailbox = mailbox.lock().await;
        let mailbox = &mut *mailbox;
        self.wear = mailbox.status.borrow().wear;
        self.publish(mailbox);
        let (mut appending, mut reading) = (true, true);
        while appending || reading {
            // What is due while commits fail waits for the next attempt.
            let settle_at = self.settle_at.filter(|_| self.trouble.is_none());
            let commit_at = self.commit_at.into_iter().chain(settle_at).min();
            let commit_due = async {
                match commit_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // All arms are cancel-safe: receiving and sleeping lose nothing when dropped, and
            // settings not taken are still new.
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
                () = pulse.called() => self.look_around(mailbox)?,
                // Everybody else is heard between two parts of an order.
                () = yield_now(), if self.is_carrying_out() => {}
            }
            self.carry_on(mailbox)?;
            while let Some(append) =
                self.has_room().then(|| mailbox.appends.try_recv().ok()).flatten()
            {
                self.take(append);
            }
            if self.is_filled() && self.trouble.is_none() {
                self.commit(mailbox, false)?;
            }
        }
        self.commit_last(mailbox).await
    }

    /// To end while storage fails would drop what was accepted. The supervisor's deadline ends the
    /// attempts and names us, and the app says how many readings are gone.
    async fn commit_last(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.commit(mailbox, true)?;
        while self.trouble.is_some() {
            sleep(TROUBLE_RETRY).await;
            self.commit(mailbox, true)?;
        }
        self.tell_quarantine();
        Ok(())
    }

    /// While commits fail the newest readings are worth more than the oldest, so there is always room.
    fn has_room(&self) -> bool {
        self.trouble.is_some() || !self.is_filled()
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.memory.len() >= self.config.commit_readings || self.memory.cells() >= CELLS_PER_COMMIT
    }

    pub(crate) fn take(&mut self, append: Append) {
        let Append { port, lane, mut readings, mut alarms, intake, events } = append;
        let pressing = !readings.is_empty() || !events.is_empty();
        let alarming = !alarms.is_empty();
        for (stream, event) in events {
            self.record(stream, event);
        }
        for (lane, readings) in [(lane, &mut readings), (Lane::Alarm, &mut alarms)] {
            if !readings.is_empty() {
                self.take_readings(lane, readings);
            }
        }
        if alarming {
            self.memory.rotate();
        }
        if !intake.is_empty() {
            self.record(Stream::ledger(), Event::TookIn { port, intake });
        }
        if self.trouble.is_some() {
            self.keep_newest();
        } else if self.tight {
            self.part();
        }
        if alarming {
            self.schedule(self.config.commit_interval.alarm);
        } else if pressing {
            self.schedule(self.config.commit_interval.of(lane));
        } else {
            self.settle();
        }
    }

    fn take_readings(&mut self, lane: Lane, readings: &mut Readings) {
        let mut mappings = Vec::with_capacity(readings.sensors().len());
        for sensor in readings.sensors() {
            let (mapping, news) = self.aggregates.registry.locate(sensor);
            if mapping.channels.contains(&None) && self.told_crowded.insert(mapping.id) {
                SensorCrowded { port: &sensor.port, sensor: &sensor.name }.report();
            }
            if let Some(sensor) = news {
                self.record(Stream::registry(), Event::SensorDescribed { id: mapping.id, sensor });
            }
            mappings.push(mapping);
        }
        let now = self.clock.since_boot_ms();
        let open = self.memory.open(lane);
        readings.drain(|sensor, stamp, cells| {
            let Mapping { id, channels } = &mappings[sensor];
            let known = |(channel, value)| Some((channels[usize::from(channel)]?, value));
            open.push(*id, stamp, cells.filter_map(known), now);
        });
    }

    fn answer(&mut self, request: Request, mailbox: &Mailbox) -> Result<(), StorageError> {
        match request {
            // An asker that went away misses nothing: what it was not told stays pending.
            Request::Next { sink, ask, answer } => {
                let batch = match self.next_batch(&sink, ask, mailbox) {
                    Err(error) => {
                        self.salvage(&error, mailbox)?;
                        self.next_batch(&sink, ask, mailbox)?
                    }
                    Ok(batch) => batch,
                };
                let _ = answer.send(batch);
            }
            Request::Acknowledge { sink, receipt, answer } => {
                self.acknowledged(&sink, receipt);
                self.publish(mailbox);
                let _ = answer.send(());
            }
            Request::Quarantine { sink, refused, answer } => {
                self.quarantine(&sink, &refused);
                self.publish(mailbox);
                let _ = answer.send(());
            }
            Request::Order { order, answer } => {
                self.begin(&order, answer, mailbox)?;
            }
            Request::Recall { sink, answer } => {
                let breakers = self.aggregates.breakers.get(&sink).cloned().unwrap_or_default();
                let budget = self.aggregates.budgets.get(&sink).copied();
                let _ = answer.send(Recalled { breakers, budget });
            }
        }
        Ok(())
    }

    pub(crate) fn acknowledged(&mut self, sink: &str, receipt: Received) {
        let stream = Stream::delivery(sink);
        for (first, last) in receipt.readings {
            self.record(stream.clone(), Event::Acknowledged { first, last });
            self.taken_after_all(sink, first, last);
        }
        if let Some(through) = receipt.events {
            self.record(stream, Event::Told { through });
        }
        self.settle();
    }

    pub(crate) fn record(&mut self, stream: Stream, event: Event) {
        self.aggregates.record(stream, event, self.clock.since_boot_ms());
    }

    /// A process that starts again in the same boot goes on under the same number.
    fn enter_boot(&mut self) {
        let id = self.clock.boot_id();
        self.boot = match self.aggregates.boots.number_of(id) {
            Some(known) => known,
            None => {
                let boot = self.aggregates.boots.next_number();
                let started = Event::BootStarted { boot, id: id.to_owned() };
                self.record(Stream::clock(), started);
                boot
            }
        };
    }

    pub(crate) fn enter_generation(&mut self) {
        let (digest, version) = self.config.generation;
        if let Some(generation) = self.aggregates.generation.succeeded_by(digest, version) {
            let version = version.to_owned();
            self.record(Stream::config(), Event::ConfigApplied { generation, digest, version });
            self.schedule(self.config.commit_interval.live);
        }
    }

    /// Once a round: what may have changed without anybody saying so.
    fn look_around(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.anchor_clock();
        self.tell_quarantine_in_time();
        if self.trouble.is_none() {
            self.ballast.take();
        }
        let is_there = match self.files.identity() {
            Ok(file) => file == self.identity,
            // Storage that does not answer has not lost the file.
            Err(error) => !error.is_absent(),
        };
        if is_there || self.closed { Ok(()) } else { self.replace_vanished(mailbox) }
    }

    fn anchor_clock(&mut self) {
        let anchor = self.clock.anchor();
        if self.aggregates.boots.is_news(self.boot, &anchor) {
            self.record(Stream::clock(), Event::ClockAnchored { boot: self.boot, anchor });
            self.schedule(self.config.commit_interval.live);
        }
    }
}
