//! What is made of files, made anew when they change: a renewed certificate and a new password hold
//! without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::credentials::SetupError;
use crate::credentials::tls::FilesStamp;
use crate::error_chain::error_chain;
use crate::telemetry::events::{LocalPortFilesUnusable, Report};

#[derive(Debug)]
pub(super) struct Renewed<T> {
    paths: Vec<PathBuf>,
    last: Mutex<Option<(FilesStamp, Option<Arc<T>>)>>,
}

impl<T> Renewed<T> {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, last: Mutex::default() }
    }

    /// As the files stand. While they cannot be used what they were holds, since whoever renews them
    /// writes one after the other; if they never could, there is nothing. It is said once per change.
    pub(super) fn get(&self, make: impl FnOnce() -> Result<T, SetupError>) -> Option<Arc<T>> {
        // Every change is a single assignment: a panic elsewhere leaves nothing half done.
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
