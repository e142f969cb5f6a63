//! The loop of one port: it decodes the tail of a killed predecessor, then opens the port, reads it, hands
//! over the readings, and starts again when the port is lost.
//!
//! `serial.rs` opens ports, `tail/` records what was read, and the port's protocol decodes it.

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

/// The bytes that one read asks for. A tty's own buffer has the same size, so a read never gives more.
const READ_BYTES: usize = 4096;
/// The most reads in a row before other tasks of the runtime get their turn.
const READS_PER_TURN: usize = 16;
/// The most reads before a stop, so that a line which never falls silent cannot delay it.
const WAITING_READS_MAX: usize = 32;
/// How long readings are collected before they are handed over, so that the log's thread wakes ten times
/// per second and not for every reading.
const HAND_OVER_AFTER: Duration = Duration::from_millis(100);
/// The shortest time between two publications of faults and sensors' messages. In between they are counted.
const PUBLISH_EVERY: Duration = Duration::from_secs(10);
/// A port that was open for this long worked, so the first attempt to open it again comes soon.
const STABLE_AFTER: Duration = Duration::from_secs(10);

const REOPEN: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 1.5, max: Duration::from_secs(5) };

/// The arguments of one run of a port actor.
#[derive(Debug)]
pub struct Ingest {
    pub config: config::Port,
    /// The rules that make a reading of the port an alarm.
    pub alarms: Vec<Rule>,
    pub appender: Appender,
    pub log: watch::Receiver<LogStatus>,
    pub tail: tail::TailPath,
    pub clock: Clock,
    pub status: watch::Sender<PortStatus>,
    pub stop: Stop,
    pub heartbeat: Heartbeat,
}

/// Why an open port is closed.
enum Left {
    Stopped,
    Lost(io::Error),
}

/// Runs until a stop is requested, or until the log has closed because the process is ending. Then the next
/// process recovers from the tail what the log has not stored.
pub async fn run(ingest: Ingest) -> Result<(), Infallible> {
    match run_on_the_log(ingest).await {
        Ok(()) | Err(LogClosed) => Ok(()),
    }
}

/// Waits for the log if there is a tail, and runs the port. Only the log knows which part of the tail it
/// has stored, so nothing is read before it is open. Without a tail the port starts at once.
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

/// The time until the next multiple of `every`. Ports with the same interval are tried at the same moments,
/// so many absent ports wake the board no more often than one.
fn until_next(every: Duration, now: Duration) -> Duration {
    let every_ms = every.as_millis().max(1);
    let left_ms = every_ms - now.as_millis() % every_ms;
    Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX))
}

pub(super) struct PortActor {
    pub(super) ingest: Ingest,
    pub(super) decoder: Decoder,
    pub(super) tail: Tail,
    /// The bytes of this port that the log had stored when the process started.
    found: u64,
    /// The position of the next byte: the number of bytes of this port that came before it, over the whole
    /// life of the log.
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
        // What an earlier run of this actor handed over is in the log or on its way there.
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
            // A partial frame will not be completed by this process, so it is counted as interrupted.
            self.interrupted();
        }
        let appender = self.ingest.appender.clone();
        self.send(appender.permit().await?);
        self.ingest.status.send_modify(|status| status.finished = taken_up);
        self.publish();
        // Send the events that `publish` has recorded.
        self.send(appender.permit().await?);
        Ok(())
    }

    /// Opens the port and reads it, again after each loss, until a stop is requested.
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

    /// Reads the port until it is lost or a stop is requested.
    async fn serve(&mut self, mut port: OpenPort) -> Result<Left, LogClosed> {
        if let Some(greeting) = self.decoder.greeting() {
            // With the greeting, a restart of the daemon need not wait for the sensor's next description.
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
            // Where the sender waits, pausing loses nothing; elsewhere reading goes on and the overflow is
            // counted.
            let tail_full = self.is_tail_full(&port);
            let reading = !(tail_full || port.sender_waits && self.outbox.is_full());
            // All arms are cancel-safe: a read that was not returned has consumed nothing, an unused permit
            // for the mailbox is given back, and a change of the log's status stays noticed.
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

    /// Decodes a read. It is recorded in the tail first, so that a kill after this point loses nothing.
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

    /// Publishes faults and empties the tail, if either is due.
    fn on_tick(&mut self) {
        self.publish_unless_recent();
        let ingest = &self.ingest;
        self.tail.clear_if_stored(self.position, &self.decoder, || stored(ingest));
    }

    /// Reads on after a read that came back nearly full, because there is probably more.
    fn read_more(&mut self, port: &mut OpenPort, buffer: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            if self.outbox.is_urgent() || self.is_tail_full(port) {
                return;
            }
            let Some(count) = port.try_read(buffer) else { return };
            self.decode(&buffer[..count]);
        }
    }

    /// Reads what is waiting in the tty, because closing it discards that.
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

    /// Reports that the port is absent, unless the reason is the same as before.
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

    /// Waits, and meanwhile answers heartbeats and hands over what is left. The port must keep answering
    /// even if the log is stuck.
    async fn rest(&mut self, wait: Duration) -> Result<(), LogClosed> {
        let appender = self.ingest.appender.clone();
        let end = sleep(wait);
        tokio::pin!(end);
        loop {
            let pending = !self.outbox.intake.is_empty() || !self.events.is_empty();
            // All arms are cancel-safe: an unused permit is given back.
            tokio::select! {
                () = &mut end => return Ok(()),
                () = self.ingest.stop.requested() => return Ok(()),
                () = self.ingest.heartbeat.answer() => self.on_tick(),
                permit = appender.permit(), if pending => self.send(permit?),
            }
        }
    }

    /// Publishes the faults, overflows and sensors' messages since the last publication.
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

    /// Publishes the first fault at once, and later ones together after `PUBLISH_EVERY`.
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

/// The bytes of the port that the log has stored.
pub(super) fn stored(ingest: &Ingest) -> u64 {
    ingest.log.borrow().stored_bytes.get(&ingest.config.name).copied().unwrap_or(0)
}
