//! The loop of one port: take up what a killed predecessor left, then open it, read it, hand over
//! what was read, and start over when it is gone.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use outstation_codec::{FaultCounts, PublishedEvent};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::serial::{OpenError, OpenPort};
use super::tail::replay::Life;
use super::tail::{self, Chunk, Tail};
use super::{PortState, PortStatus};
use crate::clock::Clock;
use crate::config;
use crate::domain::model::event::{Event, Stream};
use crate::domain::policy::alarm::Rule;
use crate::domain::policy::backoff::Backoff;
use crate::error_chain::error_chain;
use crate::event_log::{Append, AppendPermit, Appender, LogClosed, LogStatus};
use crate::protocols::{Decoder, Outbox};
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::{
    PortAbsent, PortFaults, PortOpened, ReadingsOverflowed, Report, SensorSaid,
};

/// A read from a tty never gives more than its 4 KiB buffer holds.
const READ_BYTES: usize = 4096;
/// Reads in a row before others on the runtime get their turn.
const READS_PER_TURN: usize = 16;
/// A line that never falls silent must not keep us from stopping.
const WAITING_READS_MAX: usize = 32;
/// Readings are handed over in groups: the log's thread wakes ten times a second, not per reading.
const HAND_OVER_AFTER: Duration = Duration::from_millis(100);
/// Faults and sensors' own words are published at most this often; in between they are counted.
const PUBLISH_EVERY: Duration = Duration::from_secs(10);
/// A port that delivered this long was fine: when it vanishes, the first retry is soon.
const STABLE_AFTER: Duration = Duration::from_secs(10);

const REOPEN: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 1.5, max: Duration::from_secs(5) };

/// Everything one incarnation needs.
#[derive(Debug)]
pub struct Ingest {
    pub config: config::Port,
    /// What makes a reading of the port an alarm.
    pub alarms: Vec<Rule>,
    pub appender: Appender,
    pub log: watch::Receiver<LogStatus>,
    pub tail: tail::TailPath,
    pub clock: Clock,
    pub status: watch::Sender<PortStatus>,
    pub stop: Stop,
    pub heartbeat: Heartbeat,
}

/// Why an open port is left.
enum Left {
    Stopped,
    Lost(io::Error),
}

/// Runs until stopped, or until the log is gone: then the process is ending, and what was read is
/// taken up from the tail by the next one.
pub async fn run(ingest: Ingest) -> Result<(), Infallible> {
    match run_on_the_log(ingest).await {
        Ok(()) | Err(LogClosed) => Ok(()),
    }
}

/// Until the log is open nobody knows what of a tail it has: while there is one, nothing is read.
async fn run_on_the_log(mut ingest: Ingest) -> Result<(), LogClosed> {
    while !ingest.log.borrow_and_update().is_opened() && !ingest.tail.is_empty() {
        // All arms are cancel-safe.
        tokio::select! {
            news = ingest.log.changed() => news.map_err(|_| LogClosed)?,
            () = ingest.stop.requested() => return Ok(()),
            () = ingest.heartbeat.answer() => {}
        }
    }
    PortActor::new(ingest).run().await
}

/// Ports that are looked for equally often are looked for at the same moments: many of them wake the
/// board no more often than one.
fn until_next(every: Duration, now: Duration) -> Duration {
    let every_ms = every.as_millis().max(1);
    let left_ms = every_ms - now.as_millis() % every_ms;
    Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX))
}

pub(super) struct PortActor {
    pub(super) ingest: Ingest,
    pub(super) decoder: Decoder,
    pub(super) tail: Tail,
    /// What the log had counted of this port when the process started.
    found: u64,
    /// Where the next byte stands among all that the log will ever have counted of this port.
    pub(super) position: u64,
    pub(super) outbox: Outbox,
    events: Vec<(Stream, Event)>,
    pending_faults: FaultCounts,
    pending_overflow: u64,
    published_at: Option<Instant>,
}

impl PortActor {
    fn new(ingest: Ingest) -> Self {
        let name = &ingest.config.name;
        let decoder = Decoder::new(name, &ingest.config.framing);
        let (epoch, found, opened) = {
            let log = ingest.log.borrow();
            (log.epoch, log.found_bytes.get(name).copied().unwrap_or(0), log.is_opened())
        };
        let life = Life { epoch, boot: ingest.clock.boot_id().to_owned() };
        let mut tail = Tail::new(name, ingest.tail.clone(), life);
        if !opened {
            tail.disable();
        }
        // What an incarnation before us handed over is in the log or on its way.
        let position = found + ingest.status.borrow().intake.bytes;
        let outbox = Outbox::watched(ingest.alarms.clone());
        Self {
            ingest,
            decoder,
            tail,
            found,
            position,
            outbox,
            events: Vec::new(),
            pending_faults: FaultCounts::default(),
            pending_overflow: 0,
            published_at: None,
        }
    }

    async fn run(mut self) -> Result<(), LogClosed> {
        let taken_up = self.take_up_tail().await?;
        if taken_up {
            self.serve_when_there().await?;
            // What was read of a frame and will not be completed by us is on the books as such.
            self.interrupted();
        }
        let appender = self.ingest.appender.clone();
        self.send(appender.permit().await?);
        self.ingest.status.send_modify(|status| status.finished = taken_up);
        self.publish();
        // What publishing recorded.
        self.send(appender.permit().await?);
        Ok(())
    }

    /// Opens the port and reads it, again and again, until we are to stop.
    async fn serve_when_there(&mut self) -> Result<(), LogClosed> {
        let mut attempt = 0;
        while !self.ingest.stop.is_requested() {
            match OpenPort::open(&self.ingest.config.path, &self.ingest.config.line_settings()) {
                Ok(port) => {
                    let opened = Instant::now();
                    self.opened();
                    let left = self.serve(port).await?;
                    self.left(&left);
                    if opened.elapsed() >= STABLE_AFTER {
                        attempt = 0;
                    }
                }
                Err(error) => self.absent(&error),
            }
            self.rest(until_next(REOPEN.ceiling(attempt), self.ingest.clock.now())).await?;
            attempt += 1;
        }
        Ok(())
    }

    /// Reads the port until it is gone or we are to stop.
    async fn serve(&mut self, mut port: OpenPort) -> Result<Left, LogClosed> {
        if let Some(greeting) = self.decoder.greeting() {
            // So that our restart costs no wait.
            port.send(greeting);
        }
        let appender = self.ingest.appender.clone();
        let mut buffer = vec![0; READ_BYTES];
        let mut hand_over_at: Option<Instant> = None;
        loop {
            let pending = !self.outbox.intake.is_empty() || !self.events.is_empty();
            let at = *hand_over_at.get_or_insert_with(|| Instant::now() + HAND_OVER_AFTER);
            let due = pending && (self.outbox.is_urgent() || at <= Instant::now());
            if !pending {
                hand_over_at = None;
            }
            // Where the sender waits, waiting loses nothing; elsewhere the overflow is counted.
            let tail_full = self.is_tail_full(&port);
            let reading = !(tail_full || port.sender_waits && self.outbox.is_full());
            // All arms are cancel-safe: a read that was not returned took nothing, a permit for the
            // mailbox that was not used is given back, news of the log are kept.
            tokio::select! {
                () = self.ingest.stop.requested() => {
                    self.read_what_waits(&mut port, &mut buffer);
                    return Ok(Left::Stopped);
                }
                () = self.ingest.heartbeat.answer() => self.on_tick(),
                permit = appender.permit(), if due => {
                    self.send(permit?);
                    hand_over_at = None;
                }
                news = self.ingest.log.changed(), if tail_full => news.map_err(|_| LogClosed)?,
                () = sleep_until(at), if pending && !due => {}
                read = port.read(&mut buffer), if reading => match read {
                    Ok(0) => return Ok(Left::Lost(io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => {
                        self.decode(&buffer[..count]);
                        if count >= READ_BYTES / 2 {
                            self.read_more(&mut port, &mut buffer);
                        }
                    }
                    Err(error) => return Ok(Left::Lost(error)),
                },
            }
        }
    }

    /// A read goes into the tail first: what is accepted from here on survives a kill.
    fn decode(&mut self, bytes: &[u8]) {
        let at_ms = self.ingest.clock.since_boot_ms();
        let chunk = Chunk { position: self.position, at_ms, bytes };
        let ingest = &self.ingest;
        self.tail.append(chunk, &self.decoder, || stored(ingest));
        self.position += bytes.len() as u64;
        self.decoder.feed(bytes, at_ms, &mut self.outbox);
    }

    pub(super) fn interrupted(&mut self) {
        self.decoder.interrupted(&mut self.outbox);
        self.tail.interrupted();
    }

    fn is_tail_full(&self, port: &OpenPort) -> bool {
        port.sender_waits && self.tail.is_full(|| stored(&self.ingest))
    }

    /// What is due now and then.
    fn on_tick(&mut self) {
        self.publish_unless_recent();
        let ingest = &self.ingest;
        self.tail.clear_if_stored(self.position, &self.decoder, || stored(ingest));
    }

    /// Behind a read that came back nearly full there is probably more.
    fn read_more(&mut self, port: &mut OpenPort, buffer: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            if self.outbox.is_urgent() || self.is_tail_full(port) {
                return;
            }
            let Some(count) = port.try_read(buffer) else { return };
            self.decode(&buffer[..count]);
        }
    }

    /// Closing a tty throws away what waits in it, so it is read first.
    fn read_what_waits(&mut self, port: &mut OpenPort, buffer: &mut [u8]) {
        for _ in 0..WAITING_READS_MAX {
            let Some(count) = port.try_read(buffer).filter(|_| !self.outbox.is_full()) else {
                return;
            };
            self.decode(&buffer[..count]);
        }
    }

    pub(super) fn send(&mut self, permit: AppendPermit<'_>) {
        let append = self.take_outbox();
        if !append.is_empty() {
            permit.send(append);
        }
    }

    fn take_outbox(&mut self) -> Append {
        let partial = self.decoder.partial();
        let alarms = self.outbox.take_alarms();
        let (readings, intake) = self.outbox.take(partial);
        self.pending_faults.merge(&intake.faults);
        self.pending_overflow += intake.overflow;
        self.publish_unless_recent();
        let now = self.ingest.clock.since_boot_ms();
        let unrecorded = self.tail.take_unrecorded();
        self.ingest.status.send_modify(|status| {
            status.intake.merge(&intake);
            status.partial = partial;
            status.unrecorded_bytes += unrecorded;
            if !readings.is_empty() || !alarms.is_empty() {
                status.last_reading_ms = Some(now);
            }
        });
        debug_assert_eq!(
            self.position,
            self.found + self.ingest.status.borrow().received_bytes(),
            "the account is the position in the stream"
        );
        let port = self.ingest.config.name.clone();
        let events = std::mem::take(&mut self.events);
        Append { port, lane: self.ingest.config.lane, readings, alarms, intake, events }
    }

    fn opened(&mut self) {
        PortOpened { port: &self.ingest.config.name, path: &self.ingest.config.path }.report();
        self.events
            .push((Stream::port(&self.ingest.config.name), PublishedEvent::PortOpened.into()));
        self.ingest.status.send_modify(|status| {
            status.state = PortState::Open;
            status.opened_once = true;
        });
    }

    fn left(&mut self, left: &Left) {
        if let Left::Lost(error) = left {
            self.interrupted();
            let path = self.ingest.config.path.display();
            let detail = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("`{path}` is gone; is it unplugged?"),
                _ => format!("failed to read `{path}`: {error}"),
            };
            self.lost("lost", &detail);
        }
    }

    fn absent(&mut self, error: &OpenError) {
        let detail = error_chain(error);
        self.lost(error.reason(), &detail);
    }

    /// The same reason again is no news.
    fn lost(&mut self, reason: &str, detail: &str) {
        let state = PortState::Absent { reason: detail.to_owned() };
        if self.ingest.status.borrow().state == state {
            return;
        }
        PortAbsent { port: &self.ingest.config.name, reason, detail }.report();
        if !matches!(self.ingest.status.borrow().state, PortState::Absent { .. }) {
            let event = PublishedEvent::PortLost { reason: reason.to_owned() };
            self.events.push((Stream::port(&self.ingest.config.name), event.into()));
        }
        self.ingest.status.send_modify(|status| status.state = state);
    }

    /// Waits, answering heartbeats and handing over what is left meanwhile: a log that is stuck
    /// must not stick us too.
    async fn rest(&mut self, wait: Duration) -> Result<(), LogClosed> {
        let appender = self.ingest.appender.clone();
        let end = sleep(wait);
        tokio::pin!(end);
        loop {
            let pending = !self.outbox.intake.is_empty() || !self.events.is_empty();
            // All arms are cancel-safe: a permit that was not used is given back.
            tokio::select! {
                () = &mut end => return Ok(()),
                () = self.ingest.stop.requested() => return Ok(()),
                () = self.ingest.heartbeat.answer() => self.on_tick(),
                permit = appender.permit(), if pending => self.send(permit?),
            }
        }
    }

    /// Publishes what went wrong since the last time.
    fn publish(&mut self) {
        let port = self.ingest.config.name.as_str();
        let (faults, overflow) =
            (std::mem::take(&mut self.pending_faults), std::mem::take(&mut self.pending_overflow));
        if faults.seen().next().is_some() {
            PortFaults { port, since_last: &faults }.report();
            self.events.push((Stream::port(port), PublishedEvent::FramesLost { faults }.into()));
        }
        if overflow > 0 {
            ReadingsOverflowed { port, count: overflow }.report();
        }
        for (level, text) in self.outbox.said.drain(..) {
            SensorSaid { port, level, text: &text }.report();
        }
    }

    /// The first fault is published at once, those that follow closely are published together.
    pub(super) fn publish_unless_recent(&mut self) {
        let news = self.pending_faults.seen().next().is_some()
            || self.pending_overflow > 0
            || !self.outbox.said.is_empty();
        if news && self.published_at.is_none_or(|at| at.elapsed() >= PUBLISH_EVERY) {
            self.published_at = Some(Instant::now());
            self.publish();
        }
    }
}

/// What the log has stored of the port, in bytes.
pub(super) fn stored(ingest: &Ingest) -> u64 {
    ingest.log.borrow().stored_bytes.get(&ingest.config.name).copied().unwrap_or(0)
}
