//! A log at work on a real file, beside what is tested or as what is tested.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use outstation_codec::{Lane, Stamp, Value};

use super::batches::thermometer;
use crate::clock::Clock;
use crate::config::EventLog;
use crate::event_log::actor::LogActor;
use crate::event_log::settings::{LogConfig, SinkRules};
use crate::event_log::store::error::StorageError;
use crate::event_log::{Append, LogHandle, LogStatus, Mailbox, channel};
use crate::supervisor::heartbeat::Heartbeat;

/// The settings of a small log in this folder, which waits for these sinks and tells them the events.
pub(crate) fn settings(folder: &Path, sinks: &[&str]) -> LogConfig {
    let log = EventLog { path: folder.join("log.db"), max_bytes: 8 << 20, ..EventLog::default() };
    LogConfig {
        quarantine_readings: sinks.iter().map(|sink| ((*sink).to_owned(), 1000)).collect(),
        sinks: sinks.iter().map(|sink| SinkRules::waited_for(sink, true)).collect(),
        generation: (7, "test"),
        ..LogConfig::new(&log, "d")
    }
}

/// A log that runs until its last handle is dropped; it is a handle itself.
#[derive(Debug)]
pub(crate) struct TestLog {
    pub(crate) handle: LogHandle,
    running: JoinSet<Result<(), StorageError>>,
}

impl TestLog {
    pub(crate) fn start(settings: LogConfig, clock: Clock) -> Self {
        Self::try_start(settings, clock).expect("the log opens")
    }

    pub(crate) fn try_start(settings: LogConfig, clock: Clock) -> Result<Self, StorageError> {
        let mut actor = LogActor::open(settings, clock)?;
        let (handle, mailbox) = channel();
        actor.publish(&mailbox);
        Ok(Self::run(actor, handle, mailbox, Heartbeat::unwatched()))
    }

    /// Runs one that was opened, whose progress `heartbeat` shows.
    pub(crate) fn run(
        actor: LogActor,
        handle: LogHandle,
        mailbox: Mailbox,
        heartbeat: Heartbeat,
    ) -> Self {
        let mut running = JoinSet::new();
        running.spawn(actor.run(Arc::new(Mutex::new(mailbox)), heartbeat));
        Self { handle, running }
    }

    /// Readings of one sensor with these values, a millisecond apart.
    pub(crate) async fn append(&self, lane: Lane, values: impl IntoIterator<Item = Value>) {
        let sensor = Arc::new(thermometer("s"));
        let mut append = Append { port: "p".into(), lane, ..Append::default() };
        for (number, value) in (0..).zip(values) {
            append.readings.push(&sensor, Stamp::boot(number), [(0, value)]);
        }
        append.intake.accepted = append.readings.len() as u64;
        append.intake.frames = append.intake.accepted;
        self.handle.appender().permit().await.expect("open").send(append);
    }

    /// Ends it as a shutdown does, after a last commit, and gives its last word.
    pub(crate) async fn end(self) -> LogStatus {
        let Self { handle, mut running } = self;
        let status = handle.status();
        drop(handle);
        running.join_next().await.expect("running").expect("no panic").expect("no error");
        let last = status.borrow();
        last.clone()
    }

    /// Ends it as a kill does: between any two things it awaits.
    pub(crate) async fn kill(mut self) {
        self.running.shutdown().await;
    }
}

impl Deref for TestLog {
    type Target = LogHandle;

    fn deref(&self) -> &LogHandle {
        &self.handle
    }
}
