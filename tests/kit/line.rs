//! A serial line whose far end the test plays: a pty behind a path that stays the same, as
//! `/dev/serial/by-id` does.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outstation::demo::pty::open_pair;
use rustix::termios::{Termios, tcgetattr};

use super::wait::{PATIENCE, PAUSE};

/// Dropped, it is unplugged.
#[derive(Debug)]
pub(crate) struct Line {
    master: File,
    path: PathBuf,
}

impl Line {
    /// Plugs a new device in at `path`.
    pub(crate) fn plug(path: &Path) -> Self {
        Self::open(path).expect("open a pty")
    }

    fn open(path: &Path) -> io::Result<Self> {
        let (master, near) = open_pair()?;
        std::os::unix::fs::symlink(near, path)?;
        Ok(Self { master, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The settings as the near end left them.
    pub(crate) fn settings(&self) -> Termios {
        tcgetattr(&self.master).expect("read the settings of a pty")
    }

    /// What the daemon has sent so far and was not read yet.
    pub(crate) fn heard(&mut self) -> Vec<u8> {
        let mut heard = [0; 64];
        let count = self.master.read(&mut heard).unwrap_or(0);
        heard[..count].to_vec()
    }

    /// Sends all of it, waiting while the line is full.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let deadline = Instant::now() + PATIENCE;
        assert!(self.send_while(bytes, || Instant::now() < deadline), "nobody reads the line");
    }

    /// Sends all of it unless `going` ends while the line is full; says whether it did.
    pub(crate) fn send_while(&mut self, bytes: impl AsRef<[u8]>, going: impl Fn() -> bool) -> bool {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            match self.master.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !going() {
                        return false;
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) => panic!("failed to write to a pty: {error}"),
            }
        }
        true
    }

    /// Sends `lines` of ten numbers at a time, from zero on and with a pause after each ten, while
    /// `meanwhile` runs; how many were sent, and what that gave. A line that nobody reads any more
    /// cuts the last of them short.
    pub(crate) fn speak<T>(
        &mut self,
        pause: Duration,
        mut lines: impl FnMut(Range<u64>) -> String + Send,
        meanwhile: impl FnOnce() -> T,
    ) -> (u64, T) {
        let (going, sent) = (AtomicBool::new(true), AtomicU64::new(0));
        std::thread::scope(|scope| {
            // Ends the sensor however `meanwhile` ends, or a failure would wait for ever.
            struct Ends<'a>(&'a AtomicBool);
            impl Drop for Ends<'_> {
                fn drop(&mut self) {
                    self.0.store(false, Ordering::Relaxed);
                }
            }
            let ends = Ends(&going);
            let (going, count) = (&going, &sent);
            let sensor = scope.spawn(move || {
                let still = || going.load(Ordering::Relaxed);
                while still() {
                    let next = count.fetch_add(10, Ordering::Relaxed);
                    let silent_since = Cell::new(None);
                    let patient = || {
                        still() || {
                            let now = Instant::now();
                            let since = silent_since.get().unwrap_or(now);
                            silent_since.set(Some(since));
                            now - since < Duration::from_secs(1)
                        }
                    };
                    if !self.send_while(lines(next..next + 10), patient) {
                        return;
                    }
                    std::thread::sleep(pause);
                }
            });
            let result = meanwhile();
            drop(ends);
            sensor.join().expect("the sensor does not fail");
            (sent.load(Ordering::Relaxed), result)
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The name goes first: its number may be another test's pty a moment later.
        drop(std::fs::remove_file(&self.path));
    }
}
