//! The room that a log takes on its file system, and the room that it keeps in reserve.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::files::{self, Files};
use super::schema::JOURNAL_BYTES;
use crate::domain::policy::retention::Bounds;

/// Room for the journal and for the largest commits on top of it.
pub(crate) const JOURNAL_ROOM: u64 = 2 * JOURNAL_BYTES;
/// Room that is given up when the file system is full, to write down what leaves and to move the journal.
/// It is as much as a whole journal can make the file grow.
const BALLAST_BYTES: u64 = JOURNAL_BYTES.next_multiple_of(64 << 10);
/// How many of the free bytes are left alone, because the file system needs some to record the growth of
/// the log.
pub(crate) const SPARE_BYTES: u64 = 512 << 10;
/// The bytes that a row takes besides its body.
pub(crate) const ROW_BYTES: u64 = 64;

/// The bounds of a log that may take `bytes_max` bytes in all.
pub(crate) fn bounds(bytes_max: u64) -> Bounds {
    Bounds { bytes_max, reserved: JOURNAL_ROOM + BALLAST_BYTES }
}

/// Says whether the file system has room for a reserved journal and for moving it into the file.
pub(crate) fn spares_journal(files: &Files) -> bool {
    free_bytes(files.log()) > 2 * JOURNAL_BYTES + SPARE_BYTES
}

/// The free bytes of the file system of a path; zero if that cannot be known.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    statvfs(folder.unwrap_or(Path::new("."))).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
}

/// A file of zeros that keeps room in reserve for a full file system. [`Storage`](super::storage::Storage)
/// owns it.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    held: bool,
}

impl Ballast {
    pub(crate) fn new(files: &Files) -> Self {
        let mut ballast = Self { path: files.ballast(), held: false };
        ballast.take();
        ballast
    }

    /// Takes the room, if the file system can spare it.
    pub(crate) fn take(&mut self) {
        let held = self.held
            || files::len(&self.path) == BALLAST_BYTES
            || (free_bytes(&self.path) > 4 * BALLAST_BYTES && allocate(&self.path).is_ok());
        self.held = held;
    }

    /// Gives the room back to the file system.
    pub(crate) fn drop(&mut self) {
        self.held = false;
        files::remove(&self.path);
    }
}

fn allocate(path: &Path) -> std::io::Result<()> {
    files::remove(path);
    let file = files::create_private(path)?;
    let done = fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES);
    done.map_err(|error| {
        drop(fs::remove_file(path));
        error.into()
    })
}
