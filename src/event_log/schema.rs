//! The log file before its first query: whose it is, who may open it, which format it has.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};

use super::error::{Result, StorageError, signed};

/// One file per schema version, in order; `PRAGMA user_version` says how many were applied.
const MIGRATIONS: &[&str] = &[include_str!("sql/0001_initial.sql")];
/// "OUTS", so that `file` and we can tell this database from any other.
const APPLICATION_ID: i64 = 0x4F55_5453;
/// SQLite header: offset and length of the big-endian `user_version`.
const USER_VERSION_AT: usize = 60;

/// Reads the version from the file header alone: opening it could already write to it.
pub(super) fn refuse_newer(path: &Path) -> Result<()> {
    let mut header = [0; USER_VERSION_AT + 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let Ok(()) = read else { return Ok(()) };
    let mut version = [0; 4];
    version.copy_from_slice(&header[USER_VERSION_AT..]);
    refuse(path, u32::from_be_bytes(version))
}

fn refuse(path: &Path, found: u32) -> Result<()> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if header_is_sqlite(path) && found > known {
        return Err(StorageError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

fn header_is_sqlite(path: &Path) -> bool {
    let mut magic = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"SQLite format 3\0"
}

/// The kernel drops this lock with the process, however it dies.
pub(super) fn lock(path: &Path) -> Result<File> {
    let failed = |source| StorageError::Lock { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(name)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StorageError::InUse { path: path.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}

/// Readings are nobody else's business: SQLite copies this mode to the files beside it.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map(drop)
}

pub(super) fn migrate(connection: &mut Connection, path: &Path, new_epoch: u64) -> Result<()> {
    let failed = |source| StorageError::Format { path: path.to_owned(), source };
    let pragma = |connection: &Connection, name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
    };
    let applied = pragma(connection, "user_version").map_err(&failed)?;
    let owner = pragma(connection, "application_id").map_err(&failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    if tables > 0 && owner != APPLICATION_ID {
        return Err(StorageError::Foreign { path: path.to_owned() });
    }
    refuse(path, u32::try_from(applied).unwrap_or(u32::MAX))?;
    let applied = usize::try_from(applied).unwrap_or(0);
    if applied == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction().map_err(&failed)?;
    for migration in &MIGRATIONS[applied..] {
        transaction.execute_batch(migration).map_err(&failed)?;
    }
    if applied == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&failed)?;
        transaction
            .execute("INSERT INTO meta (id, epoch) VALUES (1, ?1)", [signed(new_epoch)])
            .map_err(&failed)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Negative means KiB. Appending touches few pages; a large cache would only hold old ones.
    connection.pragma_update(None, "cache_size", -512)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(())
}
