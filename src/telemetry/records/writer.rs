//! Says records, and never waits for who reads them.
//!
//! ```text
//!  event ▶ record ▶ repeats ▶ queue ▶ journald or stderr
//!                      ▲         ▲
//!                      └── thread ┘ says later what is held back or was not taken
//! ```
//!
//! A journald that is stopped, or a terminal that is paused, would otherwise stop the thread that
//! runs everything, and the watchdog would kill a daemon that is well. A record is written where it
//! is said, if there is room for it; if not it waits here, and beyond a bound it is counted and the
//! count is said. The thread sleeps unless something waits.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;

use super::format::{Format, push_field};
use super::output::Output;
use super::record::{Record, Value};
use super::repeats::Repeats;
use crate::clock::Clock;
use crate::telemetry::events::message_ids;
use crate::telemetry::metric_names;

/// Some two hundred records. They explain what happened when the reader stopped, so they are kept and
/// newer ones are counted.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// When somebody who does not read is tried again: soon, then ever more rarely, and soon again once
/// something was read. A record that is said meanwhile tries at once.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the end of the process waits for somebody who does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// A record that waited longer says so: journald dates it by when it came.
const LATE_AFTER: Duration = Duration::from_secs(1);
/// It formats a record and writes it.
const STACK_BYTES: usize = 128 * 1024;

/// The end of the daemon's voice: what is held back or waits is said when this is dropped.
#[derive(Debug)]
#[must_use = "dropped, it ends what can be said in time"]
pub struct Logging(Arc<Voice>);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.finish();
    }
}

#[derive(Debug)]
pub(crate) struct Voice {
    state: Mutex<State>,
    /// There is something to do sooner than the thread knows.
    sooner: Condvar,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    output: Output,
    format: Format,
    repeats: Repeats,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When something was last written, or began to wait.
    read_at: Duration,
}

#[derive(Debug)]
enum Waiting {
    Record {
        bytes: Vec<u8>,
        since: Duration,
    },
    /// Records that there was no room for.
    Gap {
        count: u64,
        errors: u64,
        wall_ms: i64,
    },
}

/// Hands everything that is said to the voice.
#[derive(Debug)]
pub(crate) struct VoiceLayer(Arc<Voice>);

impl<S: Subscriber> tracing_subscriber::Layer<S> for VoiceLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.say(Record::of(event, self.0.clock.wall_ms()));
    }
}

impl Voice {
    pub(crate) fn start(output: Output, format: Format) -> io::Result<(VoiceLayer, Logging)> {
        let (state, sooner) = (Mutex::new(State::new(output, format)), Condvar::new());
        let voice = Arc::new(Self { state, sooner, clock: Clock::system() });
        let patient = Arc::clone(&voice);
        let thread = std::thread::Builder::new().name("voice".to_owned()).stack_size(STACK_BYTES);
        #[expect(clippy::disallowed_methods, reason = "it serves the process until it ends")]
        thread.spawn(move || patient.say_later())?;
        Ok((VoiceLayer(Arc::clone(&voice)), Logging(voice)))
    }

    fn say(&self, record: Record) {
        let now = self.clock.now();
        let mut state = self.lock();
        let planned = state.next_look(now);
        if let Some(record) = state.repeats.admit(record, now) {
            state.enqueue(&record, now, now);
            state.write_out(now);
        }
        let look = state.next_look(now);
        if look.is_some_and(|look| planned.is_none_or(|planned| look < planned)) {
            self.sooner.notify_one();
        }
    }

    fn say_later(&self) {
        let mut state = self.lock();
        loop {
            let now = self.clock.now();
            for (record, since) in state.repeats.release(now) {
                state.enqueue(&record, since, now);
            }
            state.write_out(now);
            state = match state.next_look(now) {
                Some(look) => self.wait(state, look),
                None => self.sooner.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn finish(&self) {
        let deadline = self.clock.now() + PATIENCE;
        let mut state = self.lock();
        for (record, since) in state.repeats.release_all() {
            state.enqueue(&record, since, self.clock.now());
        }
        loop {
            let now = self.clock.now();
            state.write_out(now);
            if state.waiting.is_empty() || now >= deadline {
                return;
            }
            state = self.wait(state, RETRY_FIRST);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.sooner.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A queue that somebody left in a panic is a queue still.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(output: Output, format: Format) -> Self {
        let (repeats, waiting) = (Repeats::default(), VecDeque::new());
        Self { output, format, repeats, waiting, waiting_bytes: 0, read_at: Duration::ZERO }
    }

    /// In what time there will be something to do.
    fn next_look(&self, now: Duration) -> Option<Duration> {
        match self.waiting.is_empty() {
            true => self.repeats.next_due().map(|due| due.saturating_sub(now)),
            false => {
                let unread = now.saturating_sub(self.read_at);
                Some((unread / 4).clamp(RETRY_FIRST, RETRY_MAX))
            }
        }
    }

    fn enqueue(&mut self, record: &Record, since: Duration, now: Duration) {
        let bytes = self.format.bytes(record);
        if self.waiting.is_empty() {
            self.read_at = now;
        }
        if self.waiting_bytes + bytes.len() <= WAITING_BYTES_MAX {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back(Waiting::Record { bytes, since });
            return;
        }
        ::metrics::counter!(metric_names::TELEMETRY_DROPPED).increment(1);
        let error = u64::from(record.level == Level::ERROR);
        if let Some(Waiting::Gap { count, errors, .. }) = self.waiting.back_mut() {
            *count += 1;
            *errors += error;
        } else {
            let wall_ms = record.wall_ms;
            self.waiting.push_back(Waiting::Gap { count: 1, errors: error, wall_ms });
        }
    }

    /// Writes what waits, as far as there is room.
    fn write_out(&mut self, now: Duration) {
        while let Some(first) = self.waiting.front_mut() {
            if let Waiting::Gap { count, errors, wall_ms } = *first {
                let bytes = self.format.bytes(&gap(count, errors, wall_ms));
                self.waiting_bytes += bytes.len();
                *first = Waiting::Record { bytes, since: now };
            }
            let Waiting::Record { bytes, since } = first else { continue };
            let late = now.saturating_sub(*since);
            let written = match self.format {
                Format::Journal if late >= LATE_AFTER => {
                    let mut dated = bytes.clone();
                    push_field(&mut dated, "LATE_S", &late.as_secs().to_string());
                    self.output.write(&dated).map(|_| bytes.len())
                }
                _ => self.output.write(bytes),
            };
            match written {
                Ok(count) if count > 0 => {
                    bytes.drain(..count);
                    self.waiting_bytes -= count;
                    self.read_at = now;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
            if bytes.is_empty() {
                self.waiting.pop_front();
            }
        }
    }
}

/// What is said in the place of records that there was no room for.
fn gap(count: u64, errors: u64, wall_ms: i64) -> Record {
    let level = if errors > 0 { Level::ERROR } else { Level::WARN };
    let message = "records are missing here: nobody read them, and there was no room to keep them; \
                   `outstation status` and the metrics count on";
    let fields = vec![("count", Value::Count(count)), ("errors", Value::Count(errors))];
    Record { fields, ..Record::new(level, message_ids::MESSAGES_DROPPED, message, wall_ms) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn record(text: String) -> Record {
        Record { message: text, level: Level::DEBUG, ..gap(0, 0, 0) }
    }

    fn heard(journald: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        let next = || {
            let count = journald.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_nobody_reads_waits_in_order_and_then_is_counted_where_it_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).expect("bound");
        journald.set_nonblocking(true).expect("set");
        let output = Output::journal(&path).expect("it is there");
        let mut state = State::new(output, Format::Journal);
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(31));
        // Returns although there is never room for so many.
        for n in 0..10_000 {
            state.enqueue(&record(format!("record {n}")), early, early);
            state.write_out(early);
        }
        assert!(state.waiting_bytes <= WAITING_BYTES_MAX);
        let mut said = Vec::new();
        while !state.waiting.is_empty() {
            said.extend(heard(&journald));
            state.write_out(late);
        }
        // The last of them may have filled the socket.
        said.extend(heard(&journald));
        state.enqueue(&record("the next".to_owned()), late, late);
        state.write_out(late);
        said.extend(heard(&journald));
        let said: Vec<_> = said.iter().filter(|datagram| !datagram.is_empty()).collect();
        let (last, said) = said.split_last().expect("something");
        assert!(last.starts_with("MESSAGE=the next\n") && !last.contains("LATE_S"), "{last}");
        let (gap, said) = said.split_last().expect("something");
        assert!(said.len() > 150, "some hundred are kept");
        for (n, datagram) in said.iter().enumerate() {
            assert!(datagram.starts_with(&format!("MESSAGE=record {n}\n")), "{datagram}");
        }
        assert!(said[said.len() - 1].ends_with("\nLATE_S=30\n"));
        let missing = format!("\nCOUNT={}\nERRORS=0\n", 10_000 - said.len());
        assert!(gap.contains(&missing), "{missing} {gap}");
    }
}
