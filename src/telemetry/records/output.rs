//! Where records go: journald's socket or stderr. Writing never waits.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::isatty;

pub(crate) const JOURNAL: &str = "/run/systemd/journal/socket";

/// A pipe that is ready takes this much at once (pipe(7), `PIPE_BUF`).
const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) enum Output {
    /// A pipe or a file.
    Stderr,
    Terminal(OwnedFd),
    /// A socket that does not block, and where journald listens.
    Journal(UnixDatagram, PathBuf),
}

impl Output {
    pub(crate) fn stderr() -> Self {
        let terminal = isatty(io::stderr()).then(|| Self::terminal(Path::new("/proc/self/fd/2")));
        terminal.and_then(Result::ok).unwrap_or(Self::Stderr)
    }

    /// Opened anew, so that it does not block and is nobody else's: a terminal is ready as soon as it has
    /// room for one character, and would wait with the next.
    fn terminal(path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(Self::Terminal(open(path, flags, Mode::empty())?))
    }

    pub(crate) fn journal(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // journald ignores an empty datagram; that it is there is all we ask.
        match socket.send_to(&[], path) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Self::Journal(socket, path.to_owned())),
        }
    }

    /// Writes as much as there is room for, and says how much that was.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Journal(socket, path) => socket.send_to(bytes, path),
            Self::Terminal(terminal) => Ok(rustix::io::write(terminal, bytes)?),
            Self::Stderr => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                match poll(&mut ready, Some(&at_once))? {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    // Not through the standard library, whose lock somebody else may wait with.
                    _ => Ok(rustix::io::write(&stderr, &bytes[..bytes.len().min(PIECE_BYTES)])?),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    #[test]
    fn a_terminal_that_nobody_reads_is_not_waited_for() {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("it is ours");
        let name = ptsname(&screen, Vec::new()).expect("its name").into_string().expect("a path");
        let output = Output::terminal(Path::new(&name)).expect("it can be opened");
        // Without a newline an odd count of characters leaves room for some.
        let line = [b'x'; 999];
        let written = std::iter::repeat_with(|| output.write(&line)).take(10_000);
        let full = written.filter_map(Result::err).next().expect("it is full");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }
}
