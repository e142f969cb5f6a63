//! The durable log: sole owner of the database.
//!
//! ```text
//!  ingest ──Append──▶ ┌───────────────────────────┐ ◀──next──  upload
//!                     │ LogActor (own thread)     │ ──batch──▶
//!  sinks, ports ─────▶│ open segment, aggregates  │ ◀──ack───
//!          record     │ └─ one commit per interval│
//!                     └─────────────┬─────────────┘
//!                          watch: LogStatus ──▶ uploaders, /status, /metrics
//! ```
//!
//! Two handles: an [`Appender`] can only append, a [`Reader`] can only read and acknowledge.
//! Both mailboxes are bounded, and the log never sends into anybody's mailbox, so nothing can
//! deadlock. A reading is *accepted* when its message is taken and *stored* after the commit.

use tokio::sync::{mpsc, oneshot, watch};

use crate::domain::batch::{Batch, Lane};
use crate::domain::event::{Event, Stream};
use crate::domain::ledger::Intake;
use crate::domain::reading::Readings;

// The loop and its parts.
pub mod actor;
mod aggregates;
mod commits;
mod compaction;
mod memory;
mod offer;
mod room;
mod settings;
mod status;
mod waiting;

// The storage.
mod files;
mod journal;
mod meter;
mod opening;
mod queries;
mod rows;
mod salvage;
mod schema;
pub mod sqlite;

// Readers beside the daemon.
pub mod inspect;
pub mod remains;

// Reading what SQLite cannot open any more, from rows down to bytes.
mod carve;
mod carved;
mod frames;
mod images;
mod pages;
mod sight;

pub mod error;
#[cfg(test)]
mod tests;

pub use status::{Disk, LogStatus, Progress, Wear};

/// Messages in flight to the log. A message is at most one ingest buffer, and a port waits for its
/// place, so this only has to cover every port having one under way while a commit is running.
const APPENDS_MAX: usize = 64;
/// Each sink asks one thing at a time.
const REQUESTS_MAX: usize = 16;

/// The log's actor is gone, and the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct LogClosed;

/// What a port hands over at once.
#[derive(Debug, Default)]
pub struct Append {
    pub port: String,
    pub lane: Lane,
    pub readings: Readings,
    /// What the port took in since its last message.
    pub intake: Intake,
    pub events: Vec<(Stream, Event)>,
}

impl Append {
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.intake.is_empty() && self.events.is_empty()
    }
}

#[derive(Debug)]
enum Request {
    Next { sink: String, limits: Limits, answer: oneshot::Sender<Option<Batch>> },
    Acknowledge { sink: String, receipt: Received, answer: oneshot::Sender<()> },
}

/// What of a batch a sink has confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// First and last sequence number.
    pub readings: Option<(u64, u64)>,
    /// The position of the last event.
    pub events: Option<u64>,
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub readings_max: u64,
    pub bytes_max: usize,
}

/// Can append, and nothing else.
#[derive(Clone, Debug)]
pub struct Appender(mpsc::Sender<Append>);

/// A place in the log's mailbox; unused, it is given back.
pub type Place<'a> = mpsc::Permit<'a, Append>;

impl Appender {
    /// Waits for a place in the log's mailbox. Cancel-safe.
    pub async fn place(&self) -> Result<Place<'_>, LogClosed> {
        self.0.reserve().await.map_err(|_| LogClosed)
    }

    /// Notes an operational fact for people to read. A log that is too busy for it does without:
    /// nobody waits for history.
    pub fn note(&self, stream: Stream, event: Event) {
        let append = Append { events: vec![(stream, event)], ..Append::default() };
        if let Err(error) = self.0.try_send(append) {
            tracing::debug!(error = %error, "an operational event was not noted");
        }
    }
}

/// Can read and acknowledge for one sink, and nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    sink: String,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<LogStatus>,
}

impl Reader {
    /// Wakes when the log's status changes, new readings included.
    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }

    /// The next readings this sink does not have, or none.
    pub async fn next(&self, limits: Limits) -> Result<Option<Batch>, LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Next { sink: self.sink.clone(), limits, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// The sink has what the receipt says. Answered once noted; durable with a later commit, so that
    /// a crash in between repeats a delivery and never skips one.
    pub async fn acknowledge(&self, receipt: Received) -> Result<(), LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Acknowledge { sink: self.sink.clone(), receipt, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }
}

/// The sending ends, from which handles are made.
#[derive(Clone, Debug)]
pub struct LogHandle {
    appends: mpsc::Sender<Append>,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<LogStatus>,
}

/// The receiving ends.
#[derive(Debug)]
pub struct Mailbox {
    appends: mpsc::Receiver<Append>,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<LogStatus>,
}

/// The two ends of a log that is not running yet.
pub fn channel() -> (LogHandle, Mailbox) {
    let (append_sender, appends) = mpsc::channel(APPENDS_MAX);
    let (request_sender, requests) = mpsc::channel(REQUESTS_MAX);
    let (status_sender, status) = watch::channel(LogStatus::default());
    let handle = LogHandle { appends: append_sender, requests: request_sender, status };
    (handle, Mailbox { appends, requests, status: status_sender })
}

impl LogHandle {
    pub fn appender(&self) -> Appender {
        Appender(self.appends.clone())
    }

    pub fn reader(&self, sink: &str) -> Reader {
        Reader {
            sink: sink.to_owned(),
            requests: self.requests.clone(),
            status: self.status.clone(),
        }
    }

    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }
}
