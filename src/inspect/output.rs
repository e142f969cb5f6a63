//! Writes text to standard output or to a file. The first failure is kept, and everything after it is
//! dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::InspectError;

/// The destination of the output.
pub struct OutputFile {
    to: String,
    writer: BufWriter<Box<dyn Write>>,
    /// The file, which is synced in the end; `None` for standard output.
    file: Option<File>,
    failed: Option<io::Error>,
}

impl fmt::Debug for OutputFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OutputFile").field("to", &self.to).finish_non_exhaustive()
    }
}

const BUFFER_BYTES: usize = 64 << 10;

impl OutputFile {
    pub fn stdout() -> Self {
        let writer = BufWriter::with_capacity(BUFFER_BYTES, Box::new(io::stdout()) as Box<_>);
        Self { to: "to standard output".to_owned(), writer, file: None, failed: None }
    }

    /// Creates a file that only this user can read. Fails if the file exists, unless `replace` is set.
    pub fn file(path: &Path, replace: bool) -> Result<Self, InspectError> {
        let to = format!("`{}`", path.display());
        let mut options = File::options();
        options.write(true).mode(0o600);
        if replace {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let made = options.open(path).and_then(|file| Ok((file.try_clone()?, file)));
        let (file, same) = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => InspectError::Exists { path: path.to_owned() },
            _ => InspectError::Output { to: to.clone(), source },
        })?;
        let writer = BufWriter::with_capacity(BUFFER_BYTES, Box::new(same) as Box<_>);
        Ok(Self { to, writer, file: Some(file), failed: None })
    }

    /// Writes `bytes`, and returns whether the caller should go on: false once a write has failed.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        if self.failed.is_none() {
            self.failed = self.writer.write_all(bytes).err();
        }
        self.is_open()
    }

    pub fn is_open(&self) -> bool {
        self.failed.is_none()
    }

    /// Writes out the buffer. Returns the first failure so far.
    pub fn flush(&mut self) -> Result<(), InspectError> {
        if self.failed.is_none() {
            self.failed = self.writer.flush().err();
        }
        match self.failed.take() {
            None => Ok(()),
            Some(source) => Err(InspectError::Output { to: self.to.clone(), source }),
        }
    }

    /// Flushes, and makes a file durable.
    pub fn finish(mut self) -> Result<(), InspectError> {
        self.flush()?;
        match self.file.as_ref().map_or(Ok(()), File::sync_all) {
            // A pipe or a device cannot be synced, and need not be.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced.map_err(|source| InspectError::Output { to: self.to, source }),
        }
    }
}

/// Whether the reader of our standard output has gone. Only a write would show it otherwise, and there may
/// be nothing to write for hours.
pub fn is_abandoned() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let answered = poll(&mut asked, Some(&at_once)).is_ok_and(|count| count > 0);
    answered && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
