//! A pseudo-terminal whose far end plays a sensor. To the daemon the near end is a real tty.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;

/// Opens a pseudo-terminal and returns its far end, which does not block, and the path of the near end. The
/// line is raw from the start: bytes that are sent before the daemon opens the port must not be echoed.
pub fn open_pair() -> io::Result<(File, PathBuf)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let mut settings = tcgetattr(&master)?;
    settings.make_raw();
    tcsetattr(&master, OptionalActions::Now, &settings)?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    let name = ptsname(&master, Vec::new())?;
    Ok((File::from(master), PathBuf::from(name.to_string_lossy().into_owned())))
}

/// The sensor's end of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    // It is written to like a pipe; the far end of a line needs no more.
    master: Sender,
    path: PathBuf,
}

impl Pty {
    pub fn open() -> io::Result<Self> {
        let (master, path) = open_pair()?;
        Ok(Self { master: Sender::from_file_unchecked(master)?, path })
    }

    /// The path to configure as the port's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends all bytes, and waits while the line is full. Not cancel-safe: some of the bytes may be sent.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.master.write_all(bytes).await
    }
}
