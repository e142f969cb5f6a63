//! The client of the control socket: it sends one order and reads one answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{ANSWER_BYTES_MAX, OrderAnswer};
use crate::domain::model::quarantine::{Done, QuarantineOrder};

/// The time to wait for the daemon, a little longer than it takes at most.
const PATIENCE: Duration = Duration::from_secs(35);

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no daemon listens at `{}`", .path.display())]
    Absent { path: PathBuf, source: io::Error },
    #[error("this user may not ask the daemon at `{}`; run it as root or as the user of the daemon", .path.display())]
    Denied { path: PathBuf, source: io::Error },
    #[error(
        "no answer from the daemon at `{}`; `outstation quarantine list` shows what was done",
        .path.display()
    )]
    Silent { path: PathBuf, source: io::Error },
    #[error("what answers at `{}` is no daemon of this version; restart it", .path.display())]
    Garbled { path: PathBuf, source: serde_json::Error },
    #[error("{0}")]
    Declined(String),
}

/// Sends an order to the daemon that listens at `path` and waits for it, up to 35 s. Blocks the thread.
pub fn ask(path: &Path, order: &QuarantineOrder) -> Result<Vec<Done>, ControlError> {
    let owned = || path.to_owned();
    let mut stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::Denied { path: owned(), source },
        _ => ControlError::Absent { path: owned(), source },
    })?;
    let line = exchange(&mut stream, order)
        .map_err(|source| ControlError::Silent { path: owned(), source })?;
    match serde_json::from_slice(&line) {
        Ok(OrderAnswer::Done(done)) => Ok(done),
        Ok(OrderAnswer::Error(declined)) => Err(ControlError::Declined(declined)),
        Err(source) => Err(ControlError::Garbled { path: owned(), source }),
    }
}

fn exchange(stream: &mut UnixStream, order: &QuarantineOrder) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = serde_json::to_vec(order)?;
    request.push(b'\n');
    // The daemon may answer and close before it has read everything, so this error counts only without an
    // answer.
    let written = stream.write_all(&request);
    let mut line = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        written?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}
