//! What the rest of the program holds of the log: handles that can do one thing each.
//!
//! An [`Appender`] can only append, a [`Reader`] can only read, acknowledge and refuse, a [`Curator`] can
//! only change what becomes of what was refused. Both mailboxes are bounded, and the log never sends into
//! anybody's mailbox, so nothing can deadlock.

use std::collections::BTreeMap;

use outstation_codec::{Batch, Lane, Readings, StoredSegment};
use tokio::sync::{mpsc, oneshot, watch};

use crate::domain::model::event::{Event, Stream};
use crate::domain::model::ledger::Intake;
use crate::domain::model::quarantine::{Done, QuarantineOrder};
use crate::domain::model::refusal_reason::RefusalReason;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::budget::Spent;

use super::quarantine::declined::Declined;
use super::settings::LogConfig;
use super::status::LogStatus;
pub use crate::domain::policy::batch_size::Limits;

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
    /// Of `readings`.
    pub lane: Lane,
    /// Those that no rule makes an alarm.
    pub readings: Readings,
    /// Committed at once, together with the others.
    pub alarms: Readings,
    /// What the port took in since its last message.
    pub intake: Intake,
    pub events: Vec<(Stream, Event)>,
}

impl Append {
    /// The lane of the most urgent of its readings.
    pub(super) fn most_urgent(&self) -> Lane {
        if self.alarms.is_empty() { self.lane } else { Lane::Alarm }
    }

    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
            && self.alarms.is_empty()
            && self.intake.is_empty()
            && self.events.is_empty()
    }
}

#[derive(Debug)]
pub(super) enum LogRequest {
    Next { sink: String, ask: Ask, answer: oneshot::Sender<Option<Batch>> },
    Acknowledge { sink: String, receipt: Acknowledgement, answer: oneshot::Sender<()> },
    Quarantine { sink: String, refused: Refused, answer: oneshot::Sender<()> },
    Recall { sink: String, answer: oneshot::Sender<Recalled> },
    Order { order: QuarantineOrder, answer: oneshot::Sender<Result<Vec<Done>, Declined>> },
}

/// What of a batch a sink has confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// First and last sequence numbers.
    pub readings: Vec<(u64, u64)>,
    /// The position of the last event.
    pub events: Option<u64>,
}

impl Acknowledgement {
    /// All of a batch.
    pub fn of(batch: &Batch) -> Self {
        Self { readings: batch.ranges(), events: batch.events.last().map(|event| event.position) }
    }
}

/// Readings that a sink will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub segment: StoredSegment,
    pub reason: RefusalReason,
}

/// What the log remembers of a sink for its uploader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// By endpoint.
    pub breakers: BTreeMap<String, SavedBreaker>,
    pub budget: Option<Spent>,
}

/// What a sink wants next.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Of the first of these lanes that has something; events come along with any but alarms alone.
    /// A sink that takes everything as it was stored is given what is next, whichever of live and
    /// backfill it asks for, and nothing for alarms alone.
    pub lanes: &'static [Lane],
    pub limits: Limits,
}

/// Can append, and nothing else.
#[derive(Clone, Debug)]
pub struct Appender(mpsc::Sender<Append>);

/// A permit for one place in the log's mailbox; unused, it is given back.
pub type AppendPermit<'a> = mpsc::Permit<'a, Append>;

impl Appender {
    /// Waits until there is a place in the log's mailbox. Cancel-safe.
    pub async fn permit(&self) -> Result<AppendPermit<'_>, LogClosed> {
        self.0.reserve().await.map_err(|_| LogClosed)
    }

    /// Notes an operational fact for people to read. A log that is too busy for it does without:
    /// nobody waits for history.
    pub fn note(&self, stream: Stream, event: impl Into<Event>) {
        self.try_note(Lane::default(), stream, event.into());
    }

    /// The same for what the next process must find even if this one dies right away: it is
    /// committed as soon as an alarm is.
    pub fn note_at_once(&self, stream: Stream, event: impl Into<Event>) {
        self.try_note(Lane::Alarm, stream, event.into());
    }

    fn try_note(&self, lane: Lane, stream: Stream, event: Event) {
        let append = Append { lane, events: vec![(stream, event)], ..Append::default() };
        if let Err(error) = self.0.try_send(append) {
            tracing::debug!(error = %error, "an operational event was not noted");
        }
    }
}

/// Can read and acknowledge for one sink, and nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    sink: String,
    requests: mpsc::Sender<LogRequest>,
    status: watch::Receiver<LogStatus>,
}

impl Reader {
    /// Wakes when the log's status changes, new readings included.
    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }

    /// The next readings this sink does not have, or none.
    pub async fn next(&self, ask: Ask) -> Result<Option<Batch>, LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Next { sink: self.sink.clone(), ask, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// These readings are kept aside, and they are not pending for this sink any more. Answered
    /// once noted.
    pub async fn quarantine(&self, refused: Refused) -> Result<(), LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Quarantine { sink: self.sink.clone(), refused, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// What an earlier process left for this sink's uploader; waits until the log is open.
    pub async fn recall(&self) -> Result<Recalled, LogClosed> {
        let mut status = self.status.clone();
        status.wait_for(LogStatus::is_opened).await.map_err(|_| LogClosed)?;
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Recall { sink: self.sink.clone(), answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// The sink has what the receipt says. Answered once noted; durable with a later commit, so that
    /// a crash in between repeats a delivery and never skips one.
    pub async fn acknowledge(&self, receipt: Acknowledgement) -> Result<(), LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Acknowledge { sink: self.sink.clone(), receipt, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }
}

/// Can change what becomes of the readings in quarantine, and nothing else.
#[derive(Clone, Debug)]
pub struct Curator(mpsc::Sender<LogRequest>);

impl Curator {
    /// Answered once it is durable.
    pub async fn carry_out(
        &self,
        order: QuarantineOrder,
    ) -> Result<Result<Vec<Done>, Declined>, LogClosed> {
        let (answer, answered) = oneshot::channel();
        self.0.send(LogRequest::Order { order, answer }).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }
}

/// The sending ends, from which handles are made.
#[derive(Clone, Debug)]
pub struct LogHandle {
    appends: mpsc::Sender<Append>,
    requests: mpsc::Sender<LogRequest>,
    settings: watch::Sender<Option<LogConfig>>,
    status: watch::Receiver<LogStatus>,
}

/// The receiving ends.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) appends: mpsc::Receiver<Append>,
    pub(super) requests: mpsc::Receiver<LogRequest>,
    pub(super) settings: watch::Receiver<Option<LogConfig>>,
    pub(super) status: watch::Sender<LogStatus>,
}

/// The two ends of a log that is not running yet.
pub fn channel() -> (LogHandle, Mailbox) {
    let (append_sender, appends) = mpsc::channel(APPENDS_MAX);
    let (request_sender, requests) = mpsc::channel(REQUESTS_MAX);
    let (settings_sender, settings) = watch::channel(None);
    let (status_sender, status) = watch::channel(LogStatus::default());
    let handle = LogHandle {
        appends: append_sender,
        requests: request_sender,
        settings: settings_sender,
        status,
    };
    (handle, Mailbox { appends, requests, settings, status: status_sender })
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

    /// What the log is to hold to from now on. Where it is and whose it is stays as it was.
    pub fn reconfigure(&self, settings: LogConfig) {
        self.settings.send_replace(Some(settings));
    }

    pub fn curator(&self) -> Curator {
        Curator(self.requests.clone())
    }

    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }
}
