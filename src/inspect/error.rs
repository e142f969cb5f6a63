//! Why a log cannot be looked at, or what was found wrong with it.

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
    /// Whether whoever read our output has seen enough.
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Damage gets its next step.
    pub(super) fn at(path: &std::path::Path) -> impl Fn(StorageError) -> Self + '_ {
        |source| match source {
            // These say it themselves.
            source if !source.is_damage() => Self::Storage(source),
            source => Self::Damaged { path: path.to_owned(), source },
        }
    }
}
