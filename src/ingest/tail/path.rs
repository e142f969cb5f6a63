//! The location of a port's tail files and the bound on their size. `mod.rs` writes the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes that the tails of all ports take together. A runtime directory is memory and counts as
/// the daemon's, and recovering a tail needs as much again, twice. The size is ten seconds of the fastest
/// UART (4 Mbaud), and four times what a commit holds of the shortest lines.
pub(crate) const BYTES_MAX: u64 = 4 << 20;
/// The least size in bytes that each file may have with any number of ports. It is five seconds at 115,200
/// baud.
pub(crate) const FILE_BYTES_MIN: u64 = 64 << 10;

pub(crate) const NAMES: [&str; 2] = ["0", "1"];

/// The location of one port's tail.
#[derive(Clone, Debug)]
pub struct TailPath {
    pub(crate) stem: PathBuf,
    pub(crate) bound: Bound,
}

/// The size in bytes that each file may have. All tails of a daemon share one bound, which depends on the
/// number of ports.
#[derive(Clone, Debug)]
pub struct Bound(pub(crate) Arc<AtomicU64>);

impl Default for Bound {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(BYTES_MAX / 2)))
    }
}

impl Bound {
    /// Divides the total size among this number of ports.
    pub fn divide_among(&self, ports: usize) {
        let ports = u64::try_from(ports.max(1)).unwrap_or(u64::MAX);
        self.0.store((BYTES_MAX / 2 / ports).max(FILE_BYTES_MIN), Ordering::Relaxed);
    }
}

impl TailPath {
    /// The files are in `folder`, which is the service manager's runtime directory (in memory) or else the
    /// log's folder. Their names contain the name of the log, because two logs may share a folder.
    pub fn new(folder: &Path, log: &Path, port: &str, bound: Bound) -> Self {
        let log = log.file_name().unwrap_or_default().to_string_lossy();
        Self { stem: folder.join(format!("{log}-{port}.tail")), bound }
    }

    /// Deletes the files. The caller must be sure that the log has stored everything and the port is not
    /// read any more.
    pub fn clear(&self) {
        for name in NAMES {
            drop(std::fs::remove_file(self.file(name)));
        }
    }

    /// Whether no process has left anything in the files.
    pub(crate) fn is_empty(&self) -> bool {
        let len = |name| std::fs::metadata(self.file(name)).map_or(0, |file| file.len());
        NAMES.into_iter().all(|name| len(name) == 0)
    }

    /// The size in bytes that each file may have now.
    pub(crate) fn file_bytes_max(&self) -> u64 {
        self.bound.0.load(Ordering::Relaxed)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(".");
        path.push(name);
        path.into()
    }
}
