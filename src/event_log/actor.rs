//! The log's loop: takes readings in, commits them in groups, hands them out.
//!
//! Every call into SQLite happens here and blocks; the actor therefore has a thread of its own.
//! It ends when all its handles are gone, after a last commit.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::aggregates::Aggregates;
use super::error::StorageError;
use super::sqlite::{Commit, Database, NewSegment};
use super::{Append, LogStatus, Mailbox, Progress, Request};
use crate::clock::Clock;
use crate::domain::batch::{Lane, StoredSegment};
use crate::domain::delivery::IntervalSet;
use crate::domain::event::{Event, Stream};
use crate::domain::reading::Readings;
use crate::domain::registry::Mapping;
use crate::domain::segment::{CELLS_MAX, Segment};
use crate::supervisor::pulse::Pulse;
use crate::telemetry::error_chain;
use crate::telemetry::events::{LogHealed, LogOpened, LogTrouble, Report, SensorCrowded};

/// What the actor needs to know; see the configuration for the meaning of each.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub device: String,
    pub path: PathBuf,
    pub commit_interval: Duration,
    pub commit_readings: usize,
    pub sinks: Vec<String>,
}

/// Acknowledgements and intake without readings can wait this many intervals for company: a power
/// cut then repeats a delivery or forgets some fault counts, and every commit costs flash.
const LAZY_INTERVALS: u32 = 10;
/// The most values of one commit: with one message on top it stays below what a segment holds.
const CELLS_PER_COMMIT: usize = CELLS_MAX / 4;
/// How soon a failed commit is tried again.
const TROUBLE_RETRY: Duration = Duration::from_secs(1);

/// One incarnation of the log.
#[derive(Debug)]
pub struct LogActor {
    pub(super) config: LogConfig,
    clock: Clock,
    pub(super) database: Database,
    pub(super) aggregates: Aggregates,
    boot: u32,
    pub(super) next_seq: u64,
    open: Segment,
    first_ms: i64,
    last_ms: i64,
    commit_at: Option<Instant>,
    trouble: Option<String>,
    /// Whether the last read failed.
    pub(super) unreadable: bool,
    /// Sensors that were told to have too many channels.
    told_crowded: HashSet<u32>,
    commits: u64,
}

impl LogActor {
    pub fn open(config: LogConfig, clock: Clock) -> Result<Self, StorageError> {
        // 52 bits: exact in a JSON number, and no device has enough lives to meet one twice.
        let database = Database::open(&config.path, Clock::entropy() >> 12)?;
        let aggregates = Aggregates::load(&database, &config.sinks)?;
        let acknowledged = aggregates.acknowledged.values().filter_map(IntervalSet::last).max();
        // Never reuse a number that some sink already has.
        let next_seq = database.next_seq()?.max(acknowledged.unwrap_or(0) + 1);
        let mut actor = Self {
            config,
            clock,
            database,
            aggregates,
            boot: 0,
            next_seq,
            open: Segment::default(),
            first_ms: 0,
            last_ms: 0,
            commit_at: None,
            trouble: None,
            unreadable: false,
            told_crowded: HashSet::new(),
            commits: 0,
        };
        actor.enter_boot();
        actor.anchor_clock();
        actor.welcome_sinks()?;
        LogOpened { path: actor.database.path(), epoch: actor.database.epoch(), next_seq }.report();
        Ok(actor)
    }

    /// Runs until its handles are gone. The mailbox is shared, so that the next incarnation finds
    /// what a crashed one left.
    pub async fn run(
        mut self,
        mailbox: Arc<Mutex<Mailbox>>,
        mut pulse: Pulse,
    ) -> Result<(), StorageError> {
        let mut mailbox = mailbox.lock().await;
        let mailbox = &mut *mailbox;
        self.commits = mailbox.status.borrow().commits;
        self.publish(mailbox);
        let (mut appending, mut reading) = (true, true);
        while appending || reading {
            let commit_at = self.commit_at;
            let commit_due = async {
                match commit_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // All arms are cancel-safe: receiving and sleeping lose nothing when dropped.
            tokio::select! {
                append = mailbox.appends.recv(), if appending && self.has_room() => match append {
                    Some(append) => self.take(append),
                    None => appending = false,
                },
                request = mailbox.requests.recv(), if reading => match request {
                    Some(request) => self.answer(request, mailbox),
                    None => reading = false,
                },
                () = commit_due => self.commit(mailbox)?,
                () = pulse.called() => self.anchor_clock(),
            }
            while let Some(append) =
                self.has_room().then(|| mailbox.appends.try_recv().ok()).flatten()
            {
                self.take(append);
            }
            if !self.has_room() && self.trouble.is_none() {
                self.commit(mailbox)?;
            }
        }
        self.commit_last(mailbox).await
    }

    /// To end while storage fails would drop what was accepted. The supervisor's deadline ends the
    /// attempts and names us, and the app says how many readings are gone.
    async fn commit_last(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.commit(mailbox)?;
        while self.trouble.is_some() {
            sleep(TROUBLE_RETRY).await;
            self.commit(mailbox)?;
        }
        Ok(())
    }

    /// While commits fail, the open segment fills and then the mailbox: ports count the overflow.
    fn has_room(&self) -> bool {
        self.open.len() < self.config.commit_readings && self.open.cells() < CELLS_PER_COMMIT
    }

    fn take(&mut self, append: Append) {
        let Append { port, mut readings, intake, events } = append;
        let urgent = !readings.is_empty() || !events.is_empty();
        for (stream, event) in events {
            self.record(stream, event);
        }
        if !readings.is_empty() {
            self.take_readings(&mut readings);
        }
        if !intake.is_empty() {
            self.record(Stream::ledger(), Event::TookIn { port, intake });
        }
        self.schedule(if urgent { 1 } else { LAZY_INTERVALS });
    }

    fn take_readings(&mut self, readings: &mut Readings) {
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
        if self.open.is_empty() {
            self.first_ms = now;
        }
        self.last_ms = now;
        readings.drain(|sensor, stamp, cells| {
            let Mapping { id, channels } = &mappings[sensor];
            let known = |(channel, value)| Some((channels[usize::from(channel)]?, value));
            let cells = cells.filter_map(known);
            self.open.push(*id, stamp, cells);
        });
    }

    fn answer(&mut self, request: Request, mailbox: &Mailbox) {
        match request {
            // An asker that went away misses nothing: what it was not told stays pending.
            Request::Next { sink, limits, answer } => {
                let _ = answer.send(self.next_batch(&sink, limits, mailbox));
            }
            Request::Acknowledge { sink, first, last, answer } => {
                self.record(Stream::delivery(&sink), Event::Acknowledged { first, last });
                self.schedule(LAZY_INTERVALS);
                self.publish(mailbox);
                let _ = answer.send(());
            }
        }
    }

    pub(super) fn record(&mut self, stream: Stream, event: Event) {
        self.aggregates.record(stream, event);
    }

    /// Sees to a commit within so many intervals.
    pub(super) fn schedule(&mut self, intervals: u32) {
        if self.trouble.is_some() {
            return; // the next attempt is scheduled, and sooner would not help
        }
        let at = Instant::now() + self.config.commit_interval * intervals;
        self.commit_at = Some(self.commit_at.map_or(at, |known| known.min(at)));
    }

    /// Makes everything taken durable. Storage that fails is weather: it is said, nothing taken is
    /// dropped, and the commit is tried again. Only a broken invariant is an error.
    fn commit(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        self.commit_at = None;
        if self.open.is_empty() && self.aggregates.staged().is_empty() {
            return Ok(());
        }
        let commit = self.prepare()?;
        match self.database.commit(&commit) {
            Ok(()) => self.committed(),
            Err(error @ StorageError::Sql { .. }) => {
                let trouble = error_chain(&error);
                if self.trouble.replace(trouble).is_none() {
                    LogTrouble { path: self.database.path(), error: &error }.report();
                }
                self.commit_at = Some(Instant::now() + TROUBLE_RETRY);
            }
            Err(error) => return Err(error),
        }
        self.publish(mailbox);
        Ok(())
    }

    fn prepare(&mut self) -> Result<Commit, StorageError> {
        let delivered = self.aggregates.delivered_to_all(&self.config.sinks);
        let mut commit = Commit {
            segments: Vec::new(),
            events: self.aggregates.staged().to_vec(),
            snapshots: self.aggregates.due_snapshots()?,
            delivered_before: self.aggregates.books.first_owed(&delivered, 1),
            boot: self.boot,
            at_ms: self.clock.since_boot_ms(),
        };
        if !self.open.is_empty() {
            commit.segments.push(self.seal());
        }
        Ok(commit)
    }

    fn seal(&mut self) -> NewSegment {
        let count = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let body = self.open.encode();
        let segment = StoredSegment::sealed(self.next_seq, count, Lane::Live, self.boot, body);
        NewSegment { segment, first_ms: self.first_ms, last_ms: self.last_ms }
    }

    fn committed(&mut self) {
        self.next_seq += self.open.len() as u64;
        self.open.clear();
        self.aggregates.committed();
        self.commits += 1;
        if self.trouble.take().is_some() {
            LogHealed { path: self.database.path() }.report();
        }
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

    fn anchor_clock(&mut self) {
        let anchor = self.clock.anchor();
        if self.aggregates.boots.is_news(self.boot, &anchor) {
            self.record(Stream::clock(), Event::ClockAnchored { boot: self.boot, anchor });
            self.schedule(1);
        }
    }

    /// A sink configured for the first time, or again after others had their readings trimmed, is
    /// owed what is still in the log.
    fn welcome_sinks(&mut self) -> Result<(), StorageError> {
        let from = self.database.oldest_seq()?;
        for sink in self.config.sinks.clone() {
            let has = self.aggregates.acknowledged.get(&sink).cloned().unwrap_or_default();
            if self.aggregates.books.first_owed(&has, 1) < from {
                self.record(Stream::delivery(&sink), Event::SinkAdded { from });
                self.schedule(1);
            }
        }
        Ok(())
    }

    pub(super) fn publish(&self, mailbox: &Mailbox) {
        let head = self.next_seq - 1;
        let progress = |sink: &String| {
            let delivered = self.aggregates.acknowledged.get(sink).cloned().unwrap_or_default();
            let ledger = self.aggregates.books.ledger(head, 0, &delivered);
            (sink.clone(), Progress { delivered: ledger.delivered, pending: ledger.pending })
        };
        let delivered = self.aggregates.delivered_to_all(&self.config.sinks);
        let anchor = self.aggregates.boots.get(self.boot).and_then(|boot| boot.anchor);
        mailbox.status.send_replace(LogStatus {
            accepting: self.trouble.is_none(),
            trouble: self.trouble.clone(),
            path: self.database.path().display().to_string(),
            epoch: self.database.epoch(),
            head,
            bytes: self.database.bytes().unwrap_or(0),
            commits: self.commits,
            sensors: self.aggregates.registry.len(),
            clock_set: anchor.is_some_and(|anchor| anchor.set),
            ports: self.aggregates.books.ports.clone(),
            sinks: self.config.sinks.iter().map(progress).collect(),
            ledger: self.aggregates.books.ledger(head, self.open.len() as u64, &delivered),
        });
    }
}
