//! Checks the log file before its first query, and brings it to the current format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::error::{Result, StorageError, signed};
use super::queries;
use super::rows::{MetaRow, SnapshotRow};

/// The steps from each version of the format to the next, starting with an empty file. `PRAGMA
/// user_version` says how many were applied.
type Migrations = [&'static str];

const MIGRATIONS: &Migrations = &[include_str!("sql/0001_initial.sql")];
/// The version of the format that this program writes.
pub(crate) const FORMAT: u32 = 1;
const _: () = assert!(MIGRATIONS.len() == FORMAT as usize, "a version is a migration");
/// "OUTS" in ASCII, by which `file` and this program recognise the database.
const APPLICATION_ID: i64 = 0x4F55_5453;
/// The offset of the big-endian `user_version` in the SQLite header; it has 4 bytes.
const USER_VERSION_AT: usize = 60;
/// The page size. A commit writes every page it touches, and it touches few and small rows: with the usual
/// 4 KiB, a second of readings would cost three times the flash.
const PAGE_BYTES: u32 = 512;
/// The number of pages at which the journal is moved into the file. It is large, because a page that is
/// rewritten meanwhile is moved only once.
pub(crate) const JOURNAL_PAGES: u32 = 2000;
/// The bytes of such a journal: each page has a header of 24 bytes, and the last commit comes on top.
pub(crate) const JOURNAL_BYTES: u64 = JOURNAL_PAGES as u64 * (PAGE_BYTES as u64 + 24) + (128 << 10);

/// Reads the version from the file header alone, because opening the file could already write to it.
pub(crate) fn refuse_newer(path: &Path) -> Result<()> {
    let mut header = [0; USER_VERSION_AT + 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let Ok(()) = read else { return Ok(()) };
    let mut version = [0; 4];
    version.copy_from_slice(&header[USER_VERSION_AT..]);
    refuse(path, u32::from_be_bytes(version), FORMAT)
}

fn refuse(path: &Path, found: u32, known: u32) -> Result<()> {
    if header_is_sqlite(path) && found > known {
        return Err(StorageError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Says whether the log's own table is sound and names a format that this program knows. Then a header that
/// says otherwise is damaged. The log and its journal are not written.
pub(crate) fn is_known(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let meta = Connection::open_with_flags(path, flags)
        .ok()
        .and_then(|connection| queries::meta(&connection).ok());
    meta.is_some_and(|meta| meta.format <= FORMAT)
}

fn header_is_sqlite(path: &Path) -> bool {
    let mut magic = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"SQLite format 3\0"
}

/// Checks that a read-only connection can be used: the file is a log of the current format.
pub(crate) fn admit(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |source| StorageError::Format { path: path.to_owned(), source };
    let (applied, owner, tables) = whose(connection).map_err(failed)?;
    if tables == 0 {
        return Err(StorageError::Absent { path: path.to_owned() });
    }
    if owner != APPLICATION_ID {
        return Err(StorageError::Foreign { path: path.to_owned() });
    }
    let found = u32::try_from(applied).unwrap_or(u32::MAX);
    refuse(path, found, FORMAT)?;
    if found < FORMAT {
        return Err(StorageError::Older { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

/// Format version, application, and number of tables and indexes.
fn whose(connection: &Connection) -> rusqlite::Result<(i64, i64, i64)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((pragma("user_version")?, pragma("application_id")?, tables))
}

/// Brings a connection that was just opened to the current format and settings.
pub(crate) fn prepare(connection: &mut Connection, path: &Path, new_epoch: u64) -> Result<()> {
    prepare_by(MIGRATIONS, connection, path, new_epoch)
}

fn prepare_by(
    migrations: &Migrations,
    connection: &mut Connection,
    path: &Path,
    new_epoch: u64,
) -> Result<()> {
    let open = |source| StorageError::Open { path: path.to_owned(), source };
    // Closing would move the journal into the file, but a log that is refused must not be changed.
    let untouched = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(untouched, true).map_err(open)?;
    migrate(migrations, connection, path, new_epoch)?;
    connection.set_db_config(untouched, false).map_err(open)?;
    configure(connection).map_err(open)
}

/// Applies the missing migrations in one transaction: all of them or none.
fn migrate(
    migrations: &Migrations,
    connection: &mut Connection,
    path: &Path,
    new_epoch: u64,
) -> Result<()> {
    let failed = |source| StorageError::Format { path: path.to_owned(), source };
    let (applied, owner, tables) = whose(connection).map_err(&failed)?;
    if tables > 0 && owner != APPLICATION_ID {
        return Err(StorageError::Foreign { path: path.to_owned() });
    }
    let format = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    refuse(path, u32::try_from(applied).unwrap_or(u32::MAX), format)?;
    let applied = usize::try_from(applied).unwrap_or(0);
    if applied == migrations.len() {
        return Ok(());
    }
    if tables == 0 {
        // The page size can be set because nothing was written yet.
        connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(&failed)?;
    }
    let transaction = connection.transaction().map_err(&failed)?;
    for migration in &migrations[applied..] {
        transaction.execute_batch(migration).map_err(&failed)?;
    }
    let meta = if applied == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&failed)?;
        MetaRow { epoch: new_epoch, format, file: Vec::new() }
    } else {
        MetaRow { format, ..queries::meta(&transaction)? }
    };
    write_meta(&transaction, &meta).map_err(&failed)?;
    transaction.pragma_update(None, "user_version", format).map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

pub(crate) fn write_meta(connection: &Connection, row: &MetaRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO meta (id, epoch, format, file, crc) VALUES (1, ?1, ?2, ?3, ?4)",
        )?
        .execute(params![signed(row.epoch), row.format, row.file, row.checksum()])
        .map(drop)
}

pub(crate) fn write_snapshot(connection: &Connection, row: &SnapshotRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO snapshots (stream, version, data, crc) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![row.stream.as_str(), signed(row.version), row.data, row.checksum()])
        .map(drop)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // A negative number means KiB. Appending touches few pages, so a large cache would only hold old ones.
    connection.pragma_update(None, "cache_size", -512)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // `WriteMeter` makes the checkpoints. The journal keeps the length that it was given, because growing
    // it again would cost more than the commits in it. A reader in another process can keep it from being
    // restarted, and then it is longer for a while.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", signed(JOURNAL_BYTES))?;
    connection.set_prepared_statement_cache_capacity(24);
    Ok(())
}

#[cfg(test)]
mod tests;
