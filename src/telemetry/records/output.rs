//! Where records go: journald, stderr or a terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::isatty;

use super::format::Format;
use super::journal::Journal;
use super::record::Record;

/// A pipe that is ready takes this much at once (pipe(7), `PIPE_BUF`).
const PIPE_BYTES: usize = 4096;

pub(crate) enum Output {
    Journal(Box<Journal>),
    Stream(OutputStream),
}

/// Takes lines of text.
#[derive(Debug)]
pub(crate) struct OutputStream {
    device: Device,
    format: Format,
    /// What is left of a line that was written in part.
    rest: Vec<u8>,
}

#[derive(Debug)]
enum Device {
    /// Stderr, where it is a pipe or a file.
    Stderr,
    /// A file that does not block.
    Terminal(OwnedFd),
}

impl Output {
    /// Fails if there is no journald.
    pub(crate) fn journal() -> io::Result<Self> {
        Ok(Self::Journal(Journal::open()?.into()))
    }

    pub(crate) fn stderr(format: Format) -> Self {
        let terminal = isatty(io::stderr()).then(|| Device::terminal(Path::new("/proc/self/fd/2")));
        let device = terminal.and_then(Result::ok).unwrap_or(Device::Stderr);
        Self::Stream(OutputStream::new(device, format))
    }
}

impl OutputStream {
    fn new(device: Device, format: Format) -> Self {
        Self { device, format, rest: Vec::new() }
    }

    /// Writes a record without blocking. After an error the caller must try again with the same record.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.rest.is_empty() {
            self.rest = self.format.bytes(record);
        }
        while !self.rest.is_empty() {
            let count = self.device.write(&self.rest)?;
            self.rest.drain(..count);
        }
        Ok(())
    }
}

impl Device {
    /// The terminal is opened anew, so that the flag not to block is not shared with other programs. With
    /// the flag of `poll` alone, a terminal is ready as soon as it has room for one character.
    fn terminal(path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(Self::Terminal(open(path, flags, Mode::empty())?))
    }

    /// Writes as much as there is room for, without blocking, and returns how much that was.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Terminal(terminal) => Ok(rustix::io::write(terminal, bytes)?),
            Self::Stderr => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                match poll(&mut ready, Some(&at_once))? {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    // Not through the standard library, whose lock another thread may hold while it
                    // blocks.
                    _ => Ok(rustix::io::write(&stderr, &bytes[..bytes.len().min(PIPE_BYTES)])?),
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// An output that writes JSON, and the end at which it can be read.
    pub(in super::super) fn readable() -> (Output, UnixStream) {
        let (write, read) = UnixStream::pair().expect("a pair of sockets");
        write.set_nonblocking(true).expect("a socket");
        (Output::Stream(OutputStream::new(Device::Terminal(write.into()), Format::Json)), read)
    }

    #[test]
    fn a_terminal_that_nobody_reads_is_not_waited_for() {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("it is ours");
        let name = ptsname(&screen, Vec::new()).expect("its name").into_string().expect("a path");
        let terminal = Device::terminal(Path::new(&name)).expect("it can be opened");
        // Without a newline an odd count of characters leaves room for some.
        let line = [b'x'; 999];
        let written = std::iter::repeat_with(|| terminal.write(&line)).take(10_000);
        let full = written.filter_map(Result::err).next().expect("it is full");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }
}
