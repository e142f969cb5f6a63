//! The SQLite store: readings and events, and per device the numbers received of each.
//!
//! One upload is one transaction with `synchronous=FULL`: it is on the storage medium when the call
//! returns. The received numbers are kept as intervals in the row of the device and change in the same
//! transaction, so recognising a repeat costs no look-up per row, and the numbers in memory are never ahead
//! of the file.
//!
//! This file opens the database and makes the transaction; writing rows is left to `intake`, and decoding
//! uploads to `decode`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;

use super::account::{self, AccountRow};
use super::decode;
use super::intake::{IntakeTransaction, UploadReceipt};
use super::refusal::UploadRefusal;
use super::stats::{DeviceStats, Stats};
use super::upload::UploadBody;

/// "OUTC": distinguishes this database from the log of a daemon and from those of other programs.
const APPLICATION_ID: i64 = 0x4F55_5443;
/// The migrations in order; number n, counted from 1, makes version n of the schema.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("sql/0001_initial.sql")];
/// The time to wait for a lock: a person's SQLite shell may hold the file for a moment.
const BUSY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("failed to open the collection `{}`", .path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "`{}` is not a collection this program knows; choose another path (the file was not touched)",
        .path.display()
    )]
    Foreign { path: PathBuf },
    #[error("failed to read the accounts in the collection `{}`", .path.display())]
    Accounts { path: PathBuf, source: serde_json::Error },
}

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    /// An asynchronous mutex, so that waiting uploads hold no thread.
    connection: Arc<Mutex<Connection>>,
    stats: Arc<watch::Sender<Stats>>,
}

impl Store {
    /// Opens or creates the file. Without a path the store lives in memory, until its last handle is
    /// dropped.
    pub fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let shown = path.unwrap_or(Path::new(":memory:"));
        let failed = |source| StoreError::Open { path: shown.to_owned(), source };
        let connection = path.map_or_else(Connection::open_in_memory, Connection::open);
        let connection = connection.map_err(failed)?;
        // Closing would move the journal into the file, and a file that is refused must not be touched.
        let untouched = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection.set_db_config(untouched, true).map_err(failed)?;
        if !prepare(&connection, MIGRATIONS).map_err(failed)? {
            return Err(StoreError::Foreign { path: shown.to_owned() });
        }
        connection.set_db_config(untouched, false).map_err(failed)?;
        let rows = account::all(&connection).map_err(failed)?;
        let devices = rows.into_iter().map(AccountRow::stats).collect::<Result<Vec<_>, _>>();
        let unreadable = |source| StoreError::Accounts { path: shown.to_owned(), source };
        let mut stats = Stats::default();
        stats.update(devices.map_err(unreadable)?);
        let (connection, stats) = (Arc::new(Mutex::new(connection)), watch::Sender::new(stats));
        Ok(Self { connection, stats: Arc::new(stats) })
    }

    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Stores everything in an upload, or nothing of it. Uploads are stored one at a time, so only one is
    /// decoded in memory. If the call is cancelled, it either has not started or completes by itself.
    pub(super) async fn accept(&self, upload: UploadBody) -> Result<UploadReceipt, UploadRefusal> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        let stats = Arc::clone(&self.stats);
        // The blocking pool is used and not a thread of its own: there is nothing to run between uploads,
        // and a panic is returned by the handle that is awaited here.
        let work = spawn_blocking(move || {
            let (receipt, devices) = commit(&mut connection, &upload)?;
            stats.send_modify(|stats| stats.update(devices));
            Ok(receipt)
        });
        work.await.map_err(UploadRefusal::Crashed)?
    }
}

/// Creates the schema or migrates it. Returns false, without a change, if the file is not a collection of a
/// known version.
pub(super) fn prepare(connection: &Connection, migrations: &[&str]) -> rusqlite::Result<bool> {
    connection.busy_timeout(BUSY_MAX)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    let version = usize::try_from(pragma("user_version")?).unwrap_or(usize::MAX);
    let ours = pragma("application_id")? == APPLICATION_ID;
    let done = match (1..=migrations.len()).contains(&version) {
        true if ours => version,
        _ if tables == 0 => 0,
        _ => return Ok(false),
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if done < migrations.len() {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {}; COMMIT;",
            migrations[done..].concat(),
            migrations.len()
        ))?;
    }
    Ok(true)
}

fn commit(
    connection: &mut Connection,
    upload: &UploadBody,
) -> Result<(UploadReceipt, Vec<DeviceStats>), UploadRefusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut intake = IntakeTransaction::new(&transaction)?;
    decode::feed(upload, &mut intake)?;
    let outcome = intake.finish()?;
    transaction.commit()?;
    Ok(outcome)
}
