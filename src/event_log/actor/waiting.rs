//! The log while it cannot be opened, because the storage is full, read-only, absent or belongs to another
//! user.
//!
//! These failures are transient. The newest readings from the ports are held meanwhile, within the bounds
//! of readings that wait for a commit; the rest is counted as overflow of the ports it came from. Opening
//! is tried again each second.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::log_actor::LogActor;
use super::open_segments::CELLS_PER_COMMIT;
use super::schedule::RETRY;
use crate::clock::Clock;
use crate::domain::model::ledger::{Books, Intake, Ledger};
use crate::event_log::handle::{Append, LogRequest, Mailbox};
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::settings::LogConfig;
use crate::event_log::status::LogStatus;
use crate::event_log::store::error::StorageError;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::{LogTrouble, ReadingsGivenUp, Report};

/// The most messages held. Messages without readings are small, and beyond this number they are merged.
const HELD_MAX: usize = 1024;

/// Opens the log as soon as the storage allows it. Returns `None` if the daemon ends with nothing to store.
pub(crate) async fn open_when_usable(
    mut config: LogConfig,
    clock: Clock,
    mailbox: &Mutex<Mailbox>,
    heartbeat: &mut Heartbeat,
) -> Result<Option<LogActor>, StorageError> {
    let mut mailbox = mailbox.lock().await;
    let mailbox = &mut *mailbox;
    let mut waiting = Waiting::new(config.commit_readings);
    let (mut appending, mut reading, mut reported) = (true, true, false);
    loop {
        if let Some(settings) = mailbox.settings.borrow_and_update().clone() {
            config = settings;
        }
        match LogActor::open(config.clone(), clock.clone()) {
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut reported, true) {
                    let remedy = error.remedy();
                    LogTrouble { path: &config.path, error: &error, remedy }.report();
                }
                waiting.trouble = error.advice();
                let path = config.path.display().to_string();
                mailbox.status.send_modify(|status| {
                    (status.accepting, status.path) = (false, path);
                    status.trouble = Some(error.advice());
                    // Uploaders must not ask for readings that cannot be read.
                    status.sinks.clear();
                });
            }
            Ok(mut actor) => {
                waiting.hand_over(&mut actor);
                return Ok(Some(actor));
            }
            Err(error) => return Err(error),
        }
        let again = Instant::now() + RETRY;
        while Instant::now() < again {
            // Readings that are held may still be stored, so only the supervisor's deadline ends the
            // attempts.
            if !appending && waiting.held.is_empty() {
                return Ok(None);
            }
            // All arms are cancel-safe: receiving and sleeping lose nothing when dropped.
            tokio::select! {
                () = sleep_until(again) => {}
                () = heartbeat.answer() => {}
                append = mailbox.appends.recv(), if appending => match append {
                    Some(append) => waiting.take(append),
                    None => appending = false,
                },
                request = mailbox.requests.recv(), if reading => match request {
                    Some(request) => waiting.answer(request),
                    None => reading = false,
                },
            }
            mailbox.status.send_if_modified(|status| waiting.publish(status));
        }
    }
}

/// What was accepted before the log could be opened.
#[derive(Debug)]
struct Waiting {
    held: VecDeque<Append>,
    readings: usize,
    readings_max: usize,
    cells: usize,
    /// By port: the counts of messages whose readings were given up.
    intakes: BTreeMap<String, Intake>,
    books: Books,
    news: bool,
    /// Why the log could not be opened.
    trouble: String,
}

impl Waiting {
    fn new(readings_max: usize) -> Self {
        Self {
            held: VecDeque::new(),
            readings: 0,
            readings_max,
            cells: 0,
            intakes: BTreeMap::new(),
            books: Books::default(),
            news: false,
            trouble: String::new(),
        }
    }

    fn take(&mut self, append: Append) {
        self.news = true;
        self.books.took_in(&append.port, &append.intake);
        self.readings += append.readings.len() + append.alarms.len();
        self.cells += append.readings.cells() + append.alarms.cells();
        self.held.push_back(append);
        while self.readings > self.readings_max
            || self.cells > CELLS_PER_COMMIT
            || self.held.len() > HELD_MAX
        {
            self.give_up();
        }
    }

    /// Gives up the oldest message of the lowest lane, but keeps its counts.
    fn give_up(&mut self) {
        let lowest = self.held.iter().map(Append::most_urgent).max();
        let at = self.held.iter().position(|append| Some(append.most_urgent()) == lowest);
        let Some(append) = at.and_then(|at| self.held.remove(at)) else { return };
        let count = append.readings.len() + append.alarms.len();
        self.readings -= count;
        self.cells -= append.readings.cells() + append.alarms.cells();
        let count = count as u64;
        let lost = Intake { overflow: count, ..Intake::default() };
        self.books.took_in(&append.port, &lost);
        let known = self.intakes.entry(append.port).or_default();
        known.merge(&append.intake);
        known.merge(&lost);
        if count > 0 {
            ReadingsGivenUp { count }.report();
        }
    }

    /// Answers requests while the log is not open. There is nothing to offer, so there is nothing to
    /// acknowledge or to refuse either: uploaders start when the log is open, see
    /// [`Reader::recall`](crate::event_log::Reader::recall).
    fn answer(&mut self, request: LogRequest) {
        match request {
            LogRequest::Next { answer, .. } => {
                let _ = answer.send(None);
            }
            LogRequest::Acknowledge { .. }
            | LogRequest::Quarantine { .. }
            | LogRequest::Recall { .. } => {}
            LogRequest::Order { answer, .. } => {
                let _ = answer.send(Err(Declined::NotOpen(self.trouble.clone())));
            }
        }
    }

    fn publish(&mut self, status: &mut LogStatus) -> bool {
        let (intake, uncommitted) = (self.books.intake(), self.readings as u64);
        // What is stored is unknown until the log can be read.
        status.ledger = Ledger { intake, uncommitted, ..Ledger::default() };
        status.ports.clone_from(&self.books.ports);
        std::mem::take(&mut self.news)
    }

    fn hand_over(self, actor: &mut LogActor) {
        for (port, intake) in self.intakes {
            actor.take(Append { port, intake, ..Append::default() });
        }
        for append in self.held {
            actor.take(append);
        }
    }
}
