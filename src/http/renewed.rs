//! A value that is made from files, and made again when they change: a renewed certificate and a new
//! password take effect without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::credentials::SetupError;
use crate::credentials::tls::FilesStamp;
use crate::error_chain::error_chain;
use crate::telemetry::events::{LocalPortFilesUnusable, Report};

/// The value made from the files at `paths`, with the state of the files that it was made from.
#[derive(Debug)]
pub(super) struct Renewed<T> {
    paths: Vec<PathBuf>,
    last: Mutex<Option<(FilesStamp, Option<Arc<T>>)>>,
}

impl<T> Renewed<T> {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, last: Mutex::default() }
    }

    /// Returns the value for the files as they are now, which `make` reads if they have changed. If they
    /// cannot be used, the failure is reported once per change and the previous value stays, because an
    /// administrator renews files one after the other. Returns `None` if the files could never be used.
    pub(super) fn get(&self, make: impl FnOnce() -> Result<T, SetupError>) -> Option<Arc<T>> {
        // Every change is a single assignment, so a panic in another thread leaves a valid state behind.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = FilesStamp::of(self.paths.iter().map(PathBuf::as_path).map(Path::new));
        let old = match last.take() {
            Some((known, made)) if known == stamp => {
                *last = Some((known, made.clone()));
                return made;
            }
            old => old.and_then(|(_, made)| made),
        };
        let made = match make() {
            Ok(made) => Some(Arc::new(made)),
            Err(error) => {
                LocalPortFilesUnusable { error: &error_chain(&error), locked: old.is_none() }
                    .report();
                old
            }
        };
        *last = Some((stamp, made.clone()));
        made
    }
}
