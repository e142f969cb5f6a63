//! A sensor whose every reading says its own number, so that one invented, doubled or misnumbered
//! shows; and the times at which it said so.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use outstation::demo::pty::open_pair;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::record::PATIENCE;

/// While nobody has opened the line, it says at once that it has no room, however often it is asked.
const PAUSE: Duration = Duration::from_millis(2);

/// Unix microseconds, as in the trace.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
    u64::try_from(since.as_micros()).expect("a date before the year 500,000")
}

/// What the `number`-th reading carries besides its number: another part of one long text.
pub(crate) fn text(number: u64, length: usize) -> &'static str {
    static NOISE: LazyLock<String> = LazyLock::new(|| {
        let mut rng = Rng::with_seed(0);
        std::iter::repeat_with(|| rng.alphanumeric()).take(1 << 16).collect()
    });
    let places = (NOISE.len() - length) as u64;
    let at = usize::try_from(number.wrapping_mul(7919) % places).expect("within the text");
    &NOISE[at..at + length]
}

/// By time: the last number sent until then.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent(Vec<(u64, u64)>);

impl Sent {
    fn note(&mut self, number: u64) {
        self.0.push((now(), number));
    }

    pub(crate) fn by(&self, at: u64) -> u64 {
        self.between(0, at)
    }

    /// The last number sent from `start` until `at`; zero if there is none.
    pub(crate) fn between(&self, start: u64, at: u64) -> u64 {
        let within = self.0.iter().rev().find(|(time, _)| *time <= at);
        within.filter(|(time, _)| *time >= start).map_or(0, |(_, number)| *number)
    }

    pub(crate) fn extend(&mut self, later: &Self) {
        self.0.extend_from_slice(&later.0);
    }

    pub(crate) fn until(&self, at: u64) -> Self {
        Self(self.0.iter().copied().filter(|(time, _)| *time <= at).collect())
    }
}

/// What the sensor did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sending {
    /// Of each number, when the sensor began to send it, and when it had.
    pub(crate) started: Sent,
    pub(crate) done: Sent,
    /// The last number that it sent.
    pub(crate) last: u64,
}

#[derive(Debug)]
pub(crate) struct Sensor {
    master: File,
    path: PathBuf,
    length: usize,
    pub(crate) sending: Sending,
}

impl Sensor {
    /// Plugs it in at `path`; the last number that it sent is `last`.
    pub(crate) fn plug(path: &Path, length: usize, last: u64) -> Self {
        let master = open(path).expect("open a pty");
        let sending = Sending { last, ..Sending::default() };
        Self { master, path: path.to_owned(), length, sending }
    }

    /// Unplugs it and plugs it in again: a killed daemon leaves half a line behind.
    pub(crate) fn replug(&mut self) {
        std::fs::remove_file(&self.path).expect("remove the link");
        self.master = open(&self.path).expect("open a pty");
    }

    /// Sends so many readings, waiting while the line is full.
    pub(crate) fn send(&mut self, count: u64) {
        let numbers = self.sending.last + 1..=self.sending.last + count;
        let line = |n: u64| format!("{{\"n\":{n},\"x\":\"{}\"}}\n", text(n, self.length));
        let lines: String = numbers.map(line).collect();
        self.sending.last += count;
        self.sending.started.note(self.sending.last);
        let deadline = Instant::now() + PATIENCE;
        let mut rest = lines.as_bytes();
        while !rest.is_empty() {
            match self.master.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody reads the line");
                    self.wait_for_room();
                }
                Err(error) => panic!("failed to write to a pty: {error}"),
            }
        }
        self.sending.done.note(self.sending.last);
    }

    fn wait_for_room(&self) {
        let mut line = [PollFd::new(&self.master, PollFlags::OUT)];
        let most = Timespec { tv_sec: 1, tv_nsec: 0 };
        let asked = poll(&mut line, Some(&most));
        if asked.is_err() || !line[0].revents().contains(PollFlags::OUT) {
            std::thread::sleep(PAUSE);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let (master, near) = open_pair()?;
    std::os::unix::fs::symlink(near, path)?;
    Ok(master)
}
