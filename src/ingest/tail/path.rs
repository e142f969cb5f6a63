//! Where the tail of a port is, and how much it may take.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the tails of all ports may take together. A runtime directory is memory and counts as the
/// daemon's, and taking a tail up needs as much again, twice. It is ten seconds of the fastest
/// UART there is (4 Mbaud), and four times what a commit holds of the shortest lines.
pub(crate) const BYTES_MAX: u64 = 4 << 20;
/// However many ports there are: five seconds at 115,200 baud.
pub(crate) const FILE_BYTES_MIN: u64 = 64 << 10;

pub(crate) const NAMES: [&str; 2] = ["0", "1"];

/// Where the tail of a port is.
#[derive(Clone, Debug)]
pub struct TailPath {
    pub(crate) stem: PathBuf,
    pub(crate) bound: Bound,
}

/// How large each file may become; all tails of a daemon share one, which moves with the number of
/// ports.
#[derive(Clone, Debug)]
pub struct Bound(pub(crate) Arc<AtomicU64>);

impl Default for Bound {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(BYTES_MAX / 2)))
    }
}

impl Bound {
    pub fn divide_among(&self, ports: usize) {
        let ports = u64::try_from(ports.max(1)).unwrap_or(u64::MAX);
        self.0.store((BYTES_MAX / 2 / ports).max(FILE_BYTES_MIN), Ordering::Relaxed);
    }
}

impl TailPath {
    /// The folder is the service manager's runtime directory, which is memory, or else the log's.
    /// The names tell the log, because two of them may be in one folder.
    pub fn new(folder: &Path, log: &Path, port: &str, bound: Bound) -> Self {
        let log = log.file_name().unwrap_or_default().to_string_lossy();
        Self { stem: folder.join(format!("{log}-{port}.tail")), bound }
    }

    /// Forgets the tail: for when the log has all of it and nobody reads the port any more.
    pub fn clear(&self) {
        for name in NAMES {
            drop(std::fs::remove_file(self.file(name)));
        }
    }

    /// Whether no process left anything.
    pub(crate) fn is_empty(&self) -> bool {
        let len = |name| std::fs::metadata(self.file(name)).map_or(0, |file| file.len());
        NAMES.into_iter().all(|name| len(name) == 0)
    }

    /// How large each of the files may become.
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
