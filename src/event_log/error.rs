//! What can go wrong with the storage, and the conversions that SQLite's integers need.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("failed to create the folder of the log `{}`", .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("failed to lock the log `{}`; may this user write to its folder?", .path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("the log `{}` is in use by another outstation; stop that one or set another `log.path`", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "the log `{}` has format version {found}, and this program knows versions up to {known}; \
         install the newer outstation or set another `log.path` (the file was not touched)",
        .path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("`{}` is a database of another program; set another `log.path` (the file was not touched)", .path.display())]
    Foreign { path: PathBuf },
    #[error("failed to open the log `{}`", .path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("failed to bring the log `{}` to the current format", .path.display())]
    Format { path: PathBuf, source: rusqlite::Error },
    #[error("failed to {operation}")]
    Sql { operation: &'static str, source: rusqlite::Error },
    #[error("stream `{stream}` is not at version {expected}: another writer was here")]
    Conflict { stream: String, expected: u64 },
    #[error("failed to read stored {what}: its encoding is damaged")]
    Encoding { what: &'static str, source: postcard::Error },
}

pub(super) type Result<T> = std::result::Result<T, StorageError>;

/// Names the operation of a failed statement.
pub(super) fn sql(operation: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |source| StorageError::Sql { operation, source }
}

/// SQLite's integers are signed; ours stay far below the sign.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
