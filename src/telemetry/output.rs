//! Where records go: journald's socket or stderr. Writing never waits.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) const JOURNAL: &str = "/run/systemd/journal/socket";

/// A pipe that is ready takes this much at once (pipe(7), `PIPE_BUF`).
const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) enum Output {
    Stderr,
    /// A socket that does not block, and where journald listens.
    Journal(UnixDatagram, PathBuf),
}

impl Output {
    pub(super) fn journal(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // journald ignores an empty datagram; that it is there is all we ask.
        match socket.send_to(&[], path) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Self::Journal(socket, path.to_owned())),
        }
    }

    /// Writes as much as there is room for now.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Journal(socket, path) => socket.send_to(bytes, path),
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
