//! Chooses where the ports keep their tails and how much memory each may take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::event_log::LogStatus;
use crate::ingest::{PortStatus, tail};

/// The places of all tails of one log.
#[derive(Debug)]
pub(super) struct Tails {
    folder: PathBuf,
    log: PathBuf,
    bound: tail::Bound,
}

impl Tails {
    /// The tails of the log at the path `log`: in the runtime directory that systemd gives, else beside the
    /// log.
    pub(super) fn new(log: &Path) -> Self {
        // systemd passes the runtime directories in this variable; the first one is used.
        let given = std::env::var_os("RUNTIME_DIRECTORY");
        let given = given.as_ref().and_then(|given| std::env::split_paths(given).next());
        let given = given.filter(|folder| folder.is_absolute());
        let folder = given.or_else(|| log.parent().map(Path::to_owned)).unwrap_or_default();
        Self { folder, log: log.to_owned(), bound: tail::Bound::default() }
    }

    /// Divides the space for all tails among this many ports from now on.
    pub(super) fn divide_among(&self, ports: usize) {
        self.bound.divide_among(ports);
    }

    pub(super) fn path(&self, port: &str) -> tail::TailPath {
        tail::TailPath::new(&self.folder, &self.log, port, self.bound.clone())
    }

    /// Clears the tail of a port that has ended, if the log has stored every byte of it: the next process
    /// has no use for such a tail.
    pub(super) fn clear_if_stored(&self, port: &PortStatus, log: &LogStatus) {
        let of_port = |bytes: &BTreeMap<String, u64>| bytes.get(&port.name).copied().unwrap_or(0);
        let read = of_port(&log.found_bytes) + port.received_bytes();
        if port.finished && of_port(&log.stored_bytes) == read {
            self.path(&port.name).clear();
        }
    }
}
