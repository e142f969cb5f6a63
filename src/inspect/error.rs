//! The reasons why a log cannot be inspected, and the result of a log that is not sound.

use std::io;
use std::path::PathBuf;

use crate::event_log::store::error::StorageError;

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Storage(StorageError),
    #[error(
        "the log `{path}` is damaged; a daemon salvages it by itself when it meets the damage or starts, \
         `outstation log salvage {path}` reads what is left once no daemon has it",
        path = .path.display()
    )]
    Damaged { path: PathBuf, source: StorageError },
    #[error("{what}; try again, and if it repeats look at the storage (`dmesg`)")]
    Interrupted { what: String },
    #[error("failed to write {to}")]
    Output { to: String, source: io::Error },
    #[error("`{}` exists; name another file, or replace it with --force", .path.display())]
    Exists { path: PathBuf },
    #[error("nothing such is in quarantine; `outstation quarantine list` shows what is")]
    NothingSuch,
    #[error("`{}` is part of the log itself; name another file", .path.display())]
    Own { path: PathBuf },
    #[error("the log is not sound: {problems} problems; {next_step}")]
    Unsound { problems: u64, next_step: &'static str },
}

impl InspectError {
    /// Whether the reader of our output closed it, which is no failure.
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Wraps an error of the log at `path`; damage is given a next step.
    pub(super) fn at(path: &std::path::Path) -> impl Fn(StorageError) -> Self + '_ {
        |source| match source {
            // The other errors name their next step themselves.
            source if !source.is_damage() => Self::Storage(source),
            source => Self::Damaged { path: path.to_owned(), source },
        }
    }
}
