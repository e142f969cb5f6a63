//! The failures of the storage, and the conversions that SQLite's integers need.

use std::io;
use std::path::PathBuf;

use crate::error_chain::error_chain;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("failed to create the folder of the log `{}`", .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("failed to lock the log `{}`", .path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("`{}` belongs to user {owner} and may not be written by user {user}, who runs this", .path.display())]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("the log `{}` is in use by another outstation; stop that one or set another `log.path`", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "the log `{}` has format version {found}, and this program knows versions up to {known}; \
         install the newer outstation or set another `log.path` (the file was not touched)",
        .path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "the log `{}` has format version {found}; the daemon brings it to version {known} at its next \
         start (the file was not touched)",
        .path.display()
    )]
    Older { path: PathBuf, found: u32, known: u32 },
    #[error("there is no log at `{}`; name it with --log FILE, or its configuration with --config FILE", .path.display())]
    Absent { path: PathBuf },
    #[error(
        "the log `{}` cannot be read by this user while its folder is closed to them; run this as the \
         user of the daemon, or copy the log and its `-wal` elsewhere and name the copy with --log",
        .path.display()
    )]
    Closed { path: PathBuf },
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
    #[error("failed to create the log `{}`", .path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("failed to read stored {what}: its encoding is damaged")]
    Encoding { what: &'static str, source: postcard::Error },
    #[error("stored {what} is damaged: its checksum or order is wrong")]
    Checksum { what: &'static str },
    #[error("the journal of the log `{}` is damaged", .path.display())]
    Journal { path: PathBuf },
    #[error("failed to {operation} `{}`", .path.display())]
    Files { operation: &'static str, path: PathBuf, source: io::Error },
}

impl StorageError {
    /// Says whether the file holds something other than what was written. Then waiting does not help, and
    /// salvage does.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Encoding { .. } | Self::Checksum { .. } | Self::Journal { .. } => true,
            Self::Open { source, .. } | Self::Format { source, .. } | Self::Sql { source, .. } => {
                let conversion = matches!(
                    source,
                    rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                        | rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::QueryReturnedNoRows
                        // The queries are constants, so a name they use that does not exist was damaged.
                        | rusqlite::Error::SqlInputError { .. }
                );
                // SQLite reports a schema that lost its tables with the unspecific error code.
                let unknown = source.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown);
                let corrupt =
                    matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase));
                conversion || corrupt || unknown
            }
            _ => false,
        }
    }

    /// Says whether the file system has no room.
    pub fn is_full(&self) -> bool {
        let of_files = matches!(
            self.file_error(),
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        );
        of_files
            || self.sqlite_error().is_some_and(|error| {
                // When the index of the journal cannot grow, SQLite reports only this.
                error.code == rusqlite::ErrorCode::DiskFull
                    || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            })
    }

    /// Says whether a file does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        self.file_error() == Some(io::ErrorKind::NotFound)
    }

    fn sqlite_error(&self) -> Option<&rusqlite::ffi::Error> {
        match self {
            Self::Open { source, .. } | Self::Format { source, .. } | Self::Sql { source, .. } => {
                source.sqlite_error()
            }
            _ => None,
        }
    }

    fn file_error(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Folder { source, .. }
            | Self::Lock { source, .. }
            | Self::Create { source, .. }
            | Self::Files { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    /// What a person can do about a transient failure. The advice is never to delete a file of the log.
    pub fn remedy(&self) -> &'static str {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, ReadOnly};
        let code = self.sqlite_error().map(|error| error.code);
        match (self, code, self.file_error()) {
            _ if self.is_full() => {
                "its file system is full: make room on it, or lower `log.max_bytes`"
            }
            (Self::Owner { .. }, ..) => {
                "give it to that user with `chown`, or run as the user it belongs to"
            }
            (_, Some(ReadOnly), _) | (.., Some(io::ErrorKind::ReadOnlyFilesystem)) => {
                "its file system is read-only: mount it writable, or set another `log.path`"
            }
            (_, Some(CannotOpen), _) | (.., Some(io::ErrorKind::PermissionDenied)) => {
                "this user must be able to write to it and its folder, or set another `log.path`"
            }
            (_, Some(DatabaseBusy | DatabaseLocked), _) => "another program holds it: end that one",
            _ => "its storage fails: `dmesg` may say why; check the medium and its file system",
        }
    }

    /// The whole message for `/ready`: what failed, why, and what to do.
    pub fn advice(&self) -> String {
        format!("{}; {}", error_chain(self), self.remedy())
    }

    /// Says whether another attempt may succeed: the file system is full, read-only or failing, or the file
    /// belongs to another user.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Folder { .. }
            | Self::Lock { .. }
            | Self::Owner { .. }
            | Self::Create { .. }
            | Self::Files { .. }
            | Self::Open { .. }
            | Self::Format { .. }
            | Self::Sql { .. } => !self.is_damage(),
            _ => false,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, StorageError>;

/// Makes an error of a failed statement, with the name of the operation.
pub(crate) fn sql(operation: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |source| StorageError::Sql { operation, source }
}

/// SQLite's integers are signed. The numbers of a log stay far below the sign bit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
