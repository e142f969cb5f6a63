//! Where the ports' tails are, and how much each may take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::event_log::LogStatus;
use crate::ingest::{PortStatus, tail};

#[derive(Debug)]
pub(super) struct Tails {
    folder: PathBuf,
    log: PathBuf,
    bound: tail::Bound,
}

impl Tails {
    /// Of the log at this path.
    pub(super) fn new(log: &Path) -> Self {
        // systemd names the runtime directory so; it may name several.
        let given = std::env::var_os("RUNTIME_DIRECTORY");
        let given = given.as_ref().and_then(|given| std::env::split_paths(given).next());
        let given = given.filter(|folder| folder.is_absolute());
        let folder = given.or_else(|| log.parent().map(Path::to_owned)).unwrap_or_default();
        Self { folder, log: log.to_owned(), bound: tail::Bound::default() }
    }

    /// What all tails may take is divided among so many ports from now on.
    pub(super) fn divide_among(&self, ports: usize) {
        self.bound.divide_among(ports);
    }

    pub(super) fn path(&self, port: &str) -> tail::TailPath {
        tail::TailPath::new(&self.folder, &self.log, port, self.bound.clone())
    }

    /// A tail that says nothing the log does not know is no use to the next process.
    pub(super) fn clear_if_stored(&self, port: &PortStatus, log: &LogStatus) {
        let of_port = |bytes: &BTreeMap<String, u64>| bytes.get(&port.name).copied().unwrap_or(0);
        let read = of_port(&log.found_bytes) + port.received_bytes();
        if port.finished && of_port(&log.stored_bytes) == read {
            self.path(&port.name).clear();
        }
    }
}
