//! Writes records, so that the daemon never waits for a reader.
//!
//! ```text
//!  event ▶ record ▶ repeats ▶ queue ▶ thread ▶ journald
//!                               └───────────▶ stderr
//! ```
//!
//! Otherwise a journald that is stopped or a terminal that is paused would stop the daemon, and the
//! watchdog would kill it. Sending to journald may block, so only the thread does that. Writing to stderr
//! does not: the emitting thread writes what there is room for, and the log writer's thread the rest. What
//! waits is in bounded memory. The thread sleeps unless there is something to write.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;

use super::journal::Journal;
use super::output::{Output, OutputStream};
use super::queue::Queue;
use super::record::Record;
use super::repeats::Repeats;
use crate::clock::Clock;

/// How long the thread waits after a failed write: briefly at first, then a quarter of the time for which
/// the record could not be written. A new record ends the wait.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the end of the process waits until everything is written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Formatting and writing a record takes a few kilobytes.
const STACK_BYTES: usize = 128 * 1024;

/// Dropping it writes everything that is held back or queued, and waits for that for at most a second.
#[derive(Debug)]
#[must_use = "dropping it flushes the log"]
pub struct Logging(pub(in crate::telemetry) Arc<LogWriter>);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.finish();
    }
}

#[derive(Debug)]
pub(crate) struct LogWriter {
    state: Mutex<State>,
    /// Notified when the thread has something to do, and when it has written everything.
    changed: Condvar,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    repeats: Repeats,
    queue: Queue,
    /// The record that is being written, and when it was emitted.
    in_hand: Option<(Record, Duration)>,
    /// When it was taken from the queue.
    taken_at: Duration,
    /// Where records go, if not to journald.
    stream: Option<OutputStream>,
}

/// Gives every event to the log writer.
#[derive(Debug)]
pub(crate) struct LogLayer(pub(in crate::telemetry) Arc<LogWriter>);

impl<S: Subscriber> tracing_subscriber::Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.emit(Record::of(event, self.0.clock.wall_ms()));
    }
}

impl LogWriter {
    /// Starts the thread. It ends with the process.
    pub(crate) fn start(output: Output) -> io::Result<Arc<Self>> {
        let (stream, journal) = match output {
            Output::Stream(stream) => (Some(stream), None),
            Output::Journal(journal) => (None, Some(journal)),
        };
        let state = Mutex::new(State { stream, ..State::default() });
        let writer = Arc::new(Self { state, changed: Condvar::new(), clock: Clock::system() });
        let (name, of_thread) = ("log-writer".to_owned(), Arc::clone(&writer));
        let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
        #[expect(clippy::disallowed_methods, reason = "it serves the process until it ends")]
        thread.spawn(move || of_thread.run(journal))?;
        Ok(writer)
    }

    /// Writes or queues a record, or holds it back if it is one repeat too many. It never blocks.
    pub(crate) fn emit(&self, record: Record) {
        let now = self.clock.now();
        let mut state = self.lock();
        let next_release = state.repeats.next_release();
        if let Some(record) = state.repeats.admit(record, now) {
            state.queue.push(record, now);
            state.write_to_stream(now);
        }
        if !state.is_done() || state.repeats.next_release() != next_release {
            self.changed.notify_all();
        }
    }

    /// Ends the holding back of repeats, waits until everything is written, and returns whether it was
    /// in time.
    pub(crate) fn finish(&self) -> bool {
        let deadline = self.clock.now() + FLUSH_TIMEOUT;
        let mut state = self.lock();
        for (record, since) in state.repeats.release_all() {
            state.queue.push(record, since);
        }
        while !state.is_done() {
            if self.clock.now() >= deadline {
                return false;
            }
            // Each time the thread tries again what failed.
            self.changed.notify_all();
            state = self.wait(state, RETRY_FIRST);
        }
        true
    }

    fn run(&self, mut journal: Option<Box<Journal>>) {
        let mut state = self.lock();
        loop {
            let now = self.clock.now();
            for (record, since) in state.repeats.release(now) {
                state.queue.push(record, since);
            }
            match &mut journal {
                Some(journal) => state = self.send(state, journal),
                None => state.write_to_stream(now),
            }
            let now = self.clock.now();
            let pause = if state.in_hand.is_some() {
                let failing = now.saturating_sub(state.taken_at);
                Some((failing / 4).clamp(RETRY_FIRST, RETRY_MAX))
            } else {
                self.changed.notify_all();
                state.repeats.next_release().map(|at| at.saturating_sub(now))
            };
            state = match pause {
                Some(pause) => self.wait(state, pause),
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Sends to journald until the queue is empty or sending fails. Unlocked while it may block.
    fn send<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        journal: &mut Journal,
    ) -> MutexGuard<'a, State> {
        loop {
            let now = self.clock.now();
            state.take_next(now);
            let Some((record, since)) = state.in_hand.clone() else { return state };
            drop(state);
            let sent = journal.send(&record, now.saturating_sub(since));
            state = self.lock();
            if sent.is_err() {
                return state;
            }
            state.in_hand = None;
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another thread leaves the queue whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_done(&self) -> bool {
        self.in_hand.is_none() && self.queue.is_empty()
    }

    fn take_next(&mut self, now: Duration) {
        if self.in_hand.is_none() {
            self.in_hand = self.queue.pop(now);
            self.taken_at = now;
        }
    }

    /// Writes as much as there is room for, without blocking.
    fn write_to_stream(&mut self, now: Duration) {
        let Some(mut stream) = self.stream.take() else { return };
        self.take_next(now);
        while self.in_hand.as_ref().is_some_and(|(record, _)| stream.write(record).is_ok()) {
            self.in_hand = None;
            self.take_next(now);
        }
        self.stream = Some(stream);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use tracing::Level;

    use super::super::output::tests::readable;
    use super::*;

    fn record(n: u64) -> Record {
        Record::new(Level::DEBUG, "", &format!("record {n}"), 0)
    }

    #[test]
    fn everything_is_written_before_an_orderly_end_repeats_included() {
        let (output, read) = readable();
        let writer = LogWriter::start(output).expect("a thread");
        for _ in 0..20 {
            writer.emit(Record { level: Level::WARN, ..record(0) });
        }
        assert!(writer.finish());
        read.set_nonblocking(true).expect("a socket");
        let lines: Vec<_> = BufReader::new(read).lines().map_while(Result::ok).collect();
        let last = lines.last().expect("something is written");
        assert!(lines.len() == 7 && last.contains("\"repeats\":13"), "{lines:?}");
    }

    #[test]
    fn everything_is_written_before_a_panic_ends_the_process() {
        let (output, read) = readable();
        let logging = Logging(LogWriter::start(output).expect("a thread"));
        let main = || {
            let logging = logging;
            (0..100).for_each(|n| logging.0.emit(record(n)));
            panic!("a test");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(main)).is_err());
        read.set_nonblocking(true).expect("a socket");
        assert_eq!(BufReader::new(read).lines().map_while(Result::ok).count(), 100);
    }

    #[test]
    fn a_reader_that_does_not_read_stops_neither_the_daemon_nor_its_end() {
        let (output, read) = readable();
        let writer = LogWriter::start(output).expect("a thread");
        // Far more than a socket and the queue take.
        (0..100_000).for_each(|n| writer.emit(record(n)));
        let begun = writer.clock.now();
        assert!(!writer.finish());
        assert!(writer.clock.now() >= begun + FLUSH_TIMEOUT);
        // Each record is there, or counted where it is missing.
        let (mut lines, mut next) = (BufReader::new(read).lines(), 0);
        while next < 100_000 {
            let line = lines.next().expect("more lines").expect("a line");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            match line["count"].as_u64() {
                Some(dropped) => next += dropped,
                None => {
                    assert_eq!(line["message"], format!("record {next}"));
                    next += 1;
                }
            }
        }
        assert_eq!(next, 100_000);
        assert!(writer.finish());
    }
}
