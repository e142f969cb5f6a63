//! The account of one device in one epoch: the numbers received, which show what is a repeat and what is
//! missing.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::refusal::UploadRefusal;
use super::stats::DeviceStats;
use super::tally::Tally;
use crate::domain::model::interval_set::IntervalSet;

/// The largest number of accounts. Each costs about 2 KiB of statistics, and a sender can invent any number
/// of names.
const DEVICES_MAX: usize = 16_384;

/// An account as it is within a transaction.
#[derive(Debug)]
pub(super) struct Account {
    /// The key of its row in `devices`.
    pub(super) id: i64,
    pub(super) device: String,
    pub(super) epoch: u64,
    pub(super) tally: Tally,
}

impl Account {
    /// Reads the account of this device and epoch, or creates it.
    pub(super) fn open(
        transaction: &Transaction<'_>,
        device: &str,
        epoch: u64,
    ) -> Result<Self, UploadRefusal> {
        let key = (device, epoch.to_string());
        let columns = AccountRow::COLUMNS;
        let select = format!("SELECT {columns} FROM devices WHERE device = ?1 AND epoch = ?2");
        let row = transaction.prepare_cached(&select)?.query_row(key, AccountRow::of).optional()?;
        let row = match row {
            Some(row) => row,
            None => new_row(transaction, device, epoch)?,
        };
        let account = row
            .read()
            .map_err(|source| UploadRefusal::Account { device: device.to_owned(), source })?;
        Ok(account)
    }

    /// Writes the account back.
    pub(super) fn store(self, transaction: &Transaction<'_>) -> Result<DeviceStats, UploadRefusal> {
        let Self { id, device, epoch, tally } = self;
        let text = |set: &IntervalSet| serde_json::to_string(set);
        let (readings, events) = match (text(&tally.readings), text(&tally.events)) {
            (Ok(readings), Ok(events)) => (readings, events),
            (Err(source), _) | (_, Err(source)) => {
                return Err(UploadRefusal::Account { device, source });
            }
        };
        let mut update = transaction.prepare_cached(
            "UPDATE devices SET received = ?2, repeats = ?3, begins = ?4, events = ?5, \
             event_repeats = ?6 WHERE id = ?1",
        )?;
        let (repeats, begins) = (integer(tally.repeats), integer(tally.begins));
        update.execute((id, readings, repeats, begins, events, integer(tally.event_repeats)))?;
        Ok(DeviceStats::new(device, epoch, &tally))
    }
}

/// Reads the rows of all accounts.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<AccountRow>> {
    let select = format!("SELECT {} FROM devices", AccountRow::COLUMNS);
    let mut select = connection.prepare(&select)?;
    select.query_map([], AccountRow::of)?.collect()
}

/// A row of `devices`, whose texts are not parsed yet.
pub(super) struct AccountRow {
    id: i64,
    device: String,
    epoch: String,
    received: String,
    repeats: i64,
    begins: i64,
    events: String,
    event_repeats: i64,
}

impl AccountRow {
    const COLUMNS: &'static str =
        "id, device, epoch, received, repeats, begins, events, event_repeats";

    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            device: row.get(1)?,
            epoch: row.get(2)?,
            received: row.get(3)?,
            repeats: row.get(4)?,
            begins: row.get(5)?,
            events: row.get(6)?,
            event_repeats: row.get(7)?,
        })
    }

    pub(super) fn stats(self) -> serde_json::Result<DeviceStats> {
        let Account { device, epoch, tally, .. } = self.read()?;
        Ok(DeviceStats::new(device, epoch, &tally))
    }

    fn read(self) -> serde_json::Result<Account> {
        let tally = Tally {
            readings: serde_json::from_str(&self.received)?,
            repeats: number(self.repeats),
            begins: number(self.begins),
            events: serde_json::from_str(&self.events)?,
            event_repeats: number(self.event_repeats),
        };
        let epoch = serde_json::from_str(&self.epoch)?;
        Ok(Account { id: self.id, device: self.device, epoch, tally })
    }
}

fn new_row(
    transaction: &Transaction<'_>,
    device: &str,
    epoch: u64,
) -> Result<AccountRow, UploadRefusal> {
    let count = "SELECT count(*) FROM devices";
    let count: i64 = transaction.prepare_cached(count)?.query_row([], |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count >= DEVICES_MAX) {
        return Err(UploadRefusal::Full { what: "devices", max: DEVICES_MAX });
    }
    let columns = AccountRow::COLUMNS;
    let insert = format!("INSERT INTO devices (device, epoch) VALUES (?1, ?2) RETURNING {columns}");
    let key = (device, epoch.to_string());
    Ok(transaction.prepare_cached(&insert)?.query_row(key, AccountRow::of)?)
}

/// SQLite has no unsigned 64-bit integers; sequence numbers and counts stay far below the largest signed
/// one.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}
