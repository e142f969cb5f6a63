//! The handles through which the rest of the program uses the log. Each can do one thing only.
//!
//! An [`Appender`] can only append, a [`Reader`] can only read, acknowledge and refuse, and a [`Curator`]
//! can only change the quarantine. Both mailboxes are bounded, and the log never sends into the mailbox of
//! another actor, so no deadlock is possible.

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

/// The most messages in flight to the log. A message is at most one ingest buffer, and a port waits for its
/// place, so it is enough that each port can have one message under way while a commit is running.
const APPENDS_MAX: usize = 64;
/// The most requests in flight. Each sink makes one request at a time.
const REQUESTS_MAX: usize = 16;

/// The error of a handle whose log is gone, because the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct LogClosed;

/// What a port hands to the log in one message.
#[derive(Debug, Default)]
pub struct Append {
    pub port: String,
    /// The lane of `readings`.
    pub lane: Lane,
    /// The readings that are not alarms.
    pub readings: Readings,
    /// The alarms. They are committed at once, together with the other readings.
    pub alarms: Readings,
    /// The counts of what the port took in since its last message.
    pub intake: Intake,
    pub events: Vec<(Stream, Event)>,
}

impl Append {
    /// Returns the lane of the most urgent readings in the message.
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

/// What a sink has confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// First and last sequence numbers.
    pub readings: Vec<(u64, u64)>,
    /// The position of the last event.
    pub events: Option<u64>,
}

impl Acknowledgement {
    /// Acknowledges everything in a batch.
    pub fn of(batch: &Batch) -> Self {
        Self { readings: batch.ranges(), events: batch.events.last().map(|event| event.position) }
    }
}

/// Readings that a sink refuses for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub segment: StoredSegment,
    pub reason: RefusalReason,
}

/// What the log keeps of a sink for the uploader of the next process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// By endpoint.
    pub breakers: BTreeMap<String, SavedBreaker>,
    pub budget: Option<Spent>,
}

/// What a sink asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The readings come from the first of these lanes that has any; events come with them unless only
    /// alarms are asked for. A sink that takes everything in the order of the log gets the next readings
    /// whether it asks for live or for backfill, and none if it asks for alarms only.
    pub lanes: &'static [Lane],
    pub limits: Limits,
}

/// A handle that can append to the log and do nothing else.
#[derive(Clone, Debug)]
pub struct Appender(mpsc::Sender<Append>);

/// A permit for one place in the log's mailbox. If it is not used, dropping it gives the place back.
pub type AppendPermit<'a> = mpsc::Permit<'a, Append>;

impl Appender {
    /// Waits until there is a place in the log's mailbox. Cancel-safe.
    pub async fn permit(&self) -> Result<AppendPermit<'_>, LogClosed> {
        self.0.reserve().await.map_err(|_| LogClosed)
    }

    /// Records an operational fact for people to read. If the mailbox of the log is full, the event is
    /// dropped, because history must not make its sender wait.
    pub fn note(&self, stream: Stream, event: impl Into<Event>) {
        self.try_note(Lane::default(), stream, event.into());
    }

    /// Records a fact that the next process must find even if this one dies at once. The event is committed
    /// as soon as an alarm is, and is dropped, too, if the mailbox is full.
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

/// A handle that can read, acknowledge and refuse for one sink and do nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    sink: String,
    requests: mpsc::Sender<LogRequest>,
    status: watch::Receiver<LogStatus>,
}

impl Reader {
    /// Returns a watch on the log's status, which changes with new readings, too.
    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }

    /// Returns the next readings and events that are pending for this sink, or `None`.
    pub async fn next(&self, ask: Ask) -> Result<Option<Batch>, LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Next { sink: self.sink.clone(), ask, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// Puts readings into quarantine, so that they are no longer pending for this sink. Returns once that
    /// is recorded.
    pub async fn quarantine(&self, refused: Refused) -> Result<(), LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Quarantine { sink: self.sink.clone(), refused, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// Returns what an earlier process left for this sink's uploader. Waits until the log is open.
    pub async fn recall(&self) -> Result<Recalled, LogClosed> {
        let mut status = self.status.clone();
        status.wait_for(LogStatus::is_opened).await.map_err(|_| LogClosed)?;
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Recall { sink: self.sink.clone(), answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }

    /// Records that the sink has what the receipt says. Returns once that is recorded; it becomes durable
    /// with a later commit, so that a crash in between repeats a delivery and never skips one.
    pub async fn acknowledge(&self, receipt: Acknowledgement) -> Result<(), LogClosed> {
        let (answer, answered) = oneshot::channel();
        let request = LogRequest::Acknowledge { sink: self.sink.clone(), receipt, answer };
        self.requests.send(request).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }
}

/// A handle that can change the quarantine and do nothing else.
#[derive(Clone, Debug)]
pub struct Curator(mpsc::Sender<LogRequest>);

impl Curator {
    /// Carries out an order. Returns how many readings of each sink were changed, once that is durable, or
    /// why the order was declined.
    pub async fn carry_out(
        &self,
        order: QuarantineOrder,
    ) -> Result<Result<Vec<Done>, Declined>, LogClosed> {
        let (answer, answered) = oneshot::channel();
        self.0.send(LogRequest::Order { order, answer }).await.map_err(|_| LogClosed)?;
        answered.await.map_err(|_| LogClosed)
    }
}

/// The sending ends of the log's mailboxes, from which handles are made.
#[derive(Clone, Debug)]
pub struct LogHandle {
    appends: mpsc::Sender<Append>,
    requests: mpsc::Sender<LogRequest>,
    settings: watch::Sender<Option<LogConfig>>,
    status: watch::Receiver<LogStatus>,
}

/// The receiving ends of the log's mailboxes.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) appends: mpsc::Receiver<Append>,
    pub(super) requests: mpsc::Receiver<LogRequest>,
    pub(super) settings: watch::Receiver<Option<LogConfig>>,
    pub(super) status: watch::Sender<LogStatus>,
}

/// Makes the two ends of a log that is not running yet.
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

    /// Gives the log new settings, which hold from now on. The caller must keep the path and the device.
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
