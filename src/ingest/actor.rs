//! The loop of one port: open it, read it, hand over what was read, and start over when it is gone.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::serial::{OpenError, Port};
use super::{Decoder, LinesDecoder, Outbox, PortState, PortStatus, PostcardDecoder};
use crate::clock::Clock;
use crate::config::{self, Framing};
use crate::domain::backoff::Backoff;
use crate::domain::event::{Event, Stream};
use crate::domain::ledger::FaultCounts;
use crate::event_log::{Append, Appender, LogClosed, Place};
use crate::supervisor::Stop;
use crate::supervisor::pulse::Pulse;
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
/// A group this large need not wait.
const HAND_OVER_READINGS: usize = 1024;
/// Faults and sensors' own words are told at most this often; in between they are counted.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A port that delivered this long was fine: when it vanishes, the first retry is soon.
const STABLE_AFTER: Duration = Duration::from_secs(10);

const REOPEN: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 1.5, max: Duration::from_secs(5) };

/// Everything one incarnation needs.
#[derive(Debug)]
pub struct Ingest {
    pub config: config::Port,
    pub appender: Appender,
    pub clock: Clock,
    pub status: watch::Sender<PortStatus>,
    pub stop: Stop,
    pub pulse: Pulse,
}

/// Why an open port is left.
enum Left {
    Stopped,
    Lost(io::Error),
}

/// Runs until stopped.
pub async fn run(ingest: Ingest) -> Result<(), LogClosed> {
    Actor::new(ingest).run().await
}

struct Actor {
    ingest: Ingest,
    decoder: Decoder,
    outbox: Outbox,
    events: Vec<(Stream, Event)>,
    untold: FaultCounts,
    overflow_untold: u64,
    told_at: Option<Instant>,
}

impl Actor {
    fn new(ingest: Ingest) -> Self {
        let name = &ingest.config.name;
        let decoder = match &ingest.config.framing {
            Framing::Postcard => Decoder::Postcard(Box::new(PostcardDecoder::new(name))),
            Framing::Lines(lines) => Decoder::Lines(Box::new(LinesDecoder::new(name, lines))),
        };
        Self {
            ingest,
            decoder,
            outbox: Outbox::default(),
            events: Vec::new(),
            untold: FaultCounts::default(),
            overflow_untold: 0,
            told_at: None,
        }
    }

    async fn run(mut self) -> Result<(), LogClosed> {
        let mut rng = fastrand::Rng::with_seed(Clock::entropy());
        let mut attempt = 0;
        while !self.ingest.stop.is_requested() {
            match Port::open(&self.ingest.config.path, &self.ingest.config.line) {
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
            self.rest(REOPEN.wait(attempt, &mut rng)).await?;
            attempt += 1;
        }
        // What was read of a frame and will not be completed by us is on the books as such.
        self.decoder.interrupted(&mut self.outbox);
        let appender = self.ingest.appender.clone();
        self.send(appender.place().await?);
        self.tell();
        Ok(())
    }

    /// Reads the port until it is gone or we are to stop.
    async fn serve(&mut self, mut port: Port) -> Result<Left, LogClosed> {
        if matches!(self.decoder, Decoder::Postcard(_)) {
            // Asks the sensor to introduce itself, so that our restart costs no wait.
            port.send(outstation_wire::DELIMITER);
        }
        let appender = self.ingest.appender.clone();
        let mut buffer = vec![0; READ_BYTES];
        let mut hand_over_at: Option<Instant> = None;
        loop {
            let pending = !self.outbox.intake.is_empty() || !self.events.is_empty();
            let at = *hand_over_at.get_or_insert_with(|| Instant::now() + HAND_OVER_AFTER);
            let due = pending
                && (self.outbox.readings.len() >= HAND_OVER_READINGS || at <= Instant::now());
            if !pending {
                hand_over_at = None;
            }
            // Where the sender waits, waiting loses nothing; elsewhere the overflow is counted.
            let reading = !(port.sender_waits && self.outbox.is_full());
            // All arms are cancel-safe: a read that was not returned took nothing, a place in the
            // mailbox that was not used is given back.
            tokio::select! {
                () = self.ingest.stop.requested() => {
                    self.read_what_waits(&mut port, &mut buffer);
                    return Ok(Left::Stopped);
                }
                () = self.ingest.pulse.called() => self.tell_unless_recent(),
                place = appender.place(), if due => {
                    self.send(place?);
                    hand_over_at = None;
                }
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

    fn decode(&mut self, bytes: &[u8]) {
        let now = self.ingest.clock.since_boot_ms();
        self.decoder.feed(bytes, now, &mut self.outbox);
    }

    /// Behind a read that came back nearly full there is probably more.
    fn read_more(&mut self, port: &mut Port, buffer: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            if self.outbox.readings.len() >= HAND_OVER_READINGS {
                return;
            }
            let Some(count) = port.try_read(buffer) else { return };
            self.decode(&buffer[..count]);
        }
    }

    /// Closing a tty throws away what waits in it, so it is read first.
    fn read_what_waits(&mut self, port: &mut Port, buffer: &mut [u8]) {
        for _ in 0..WAITING_READS_MAX {
            let Some(count) = port.try_read(buffer).filter(|_| !self.outbox.is_full()) else {
                return;
            };
            self.decode(&buffer[..count]);
        }
    }

    fn send(&mut self, place: Place<'_>) {
        let append = self.take_outbox();
        if !append.is_empty() {
            place.send(append);
        }
    }

    fn take_outbox(&mut self) -> Append {
        let open = self.decoder.open();
        let (readings, intake) = self.outbox.take(open);
        self.untold.merge(&intake.faults);
        self.overflow_untold += intake.overflow;
        self.tell_unless_recent();
        let now = self.ingest.clock.since_boot_ms();
        self.ingest.status.send_modify(|status| {
            status.intake.merge(&intake);
            status.open = open;
            if !readings.is_empty() {
                status.last_reading_ms = Some(now);
            }
        });
        let port = self.ingest.config.name.clone();
        Append { port, readings, intake, events: std::mem::take(&mut self.events) }
    }

    fn opened(&mut self) {
        PortOpened { port: &self.ingest.config.name, path: &self.ingest.config.path }.report();
        self.events.push((Stream::port(&self.ingest.config.name), Event::PortOpened));
        self.ingest.status.send_modify(|status| {
            status.state = PortState::Open;
            status.opened_once = true;
        });
    }

    fn left(&mut self, left: &Left) {
        if let Left::Lost(error) = left {
            self.decoder.interrupted(&mut self.outbox);
            let path = self.ingest.config.path.display();
            let detail = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("`{path}` is gone; is it unplugged?"),
                _ => format!("failed to read `{path}`: {error}"),
            };
            self.lost("lost", &detail);
        }
    }

    fn absent(&mut self, error: &OpenError) {
        let detail = crate::telemetry::error_chain(error);
        self.lost(error.reason(), &detail);
    }

    /// The same reason again is no news.
    fn lost(&mut self, reason: &str, detail: &str) {
        let state = PortState::Absent { reason: detail.to_owned() };
        if self.ingest.status.borrow().state == state {
            return;
        }
        PortAbsent { port: &self.ingest.config.name, reason, detail }.report();
        if self.ingest.status.borrow().state == PortState::Open {
            let event = Event::PortLost { reason: reason.to_owned() };
            self.events.push((Stream::port(&self.ingest.config.name), event));
        }
        self.ingest.status.send_modify(|status| status.state = state);
    }

    /// Waits, answering rounds and handing over what is left meanwhile: a log that is stuck must
    /// not stick us too.
    async fn rest(&mut self, wait: Duration) -> Result<(), LogClosed> {
        let appender = self.ingest.appender.clone();
        let end = sleep(wait);
        tokio::pin!(end);
        loop {
            let pending = !self.outbox.intake.is_empty() || !self.events.is_empty();
            // All arms are cancel-safe: a place that was not used is given back.
            tokio::select! {
                () = &mut end => return Ok(()),
                () = self.ingest.stop.requested() => return Ok(()),
                () = self.ingest.pulse.called() => self.tell_unless_recent(),
                place = appender.place(), if pending => self.send(place?),
            }
        }
    }

    /// Says what went wrong since it was last said.
    fn tell(&mut self) {
        let port = self.ingest.config.name.as_str();
        let (faults, overflow) =
            (std::mem::take(&mut self.untold), std::mem::take(&mut self.overflow_untold));
        if faults.seen().next().is_some() {
            PortFaults { port, since_last: &faults }.report();
        }
        if overflow > 0 {
            ReadingsOverflowed { port, count: overflow }.report();
        }
        for (level, text) in self.outbox.said.drain(..) {
            SensorSaid { port, level, text: &text }.report();
        }
    }

    /// The first fault is told at once, those that follow closely are told together.
    fn tell_unless_recent(&mut self) {
        let news = self.untold.seen().next().is_some()
            || self.overflow_untold > 0
            || !self.outbox.said.is_empty();
        if news && self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.told_at = Some(Instant::now());
            self.tell();
        }
    }
}
