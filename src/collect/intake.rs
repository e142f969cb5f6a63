//! One upload on its way into the tables: devices, their sensors, readings, and what is a repeat.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction};
use serde::Serialize;

use super::refusal::Refusal;
use super::stats::DeviceStats;
use crate::domain::delivery::IntervalSet;
use crate::domain::reading::Channel;

/// Each costs about 2 KiB of statistics; names are the sender's to invent, memory is ours.
const DEVICES_MAX: usize = 16_384;
/// An alarm sent ahead of a backlog makes a gap: this is a day and a half of one each second.
const INTERVALS_MAX: usize = 131_072;

/// What became of an upload's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Receipt {
    pub(super) accepted: u64,
    pub(super) repeats: u64,
}

/// The tables, open for one upload inside its transaction.
pub(super) struct Intake<'t> {
    transaction: &'t Transaction<'t>,
    insert: CachedStatement<'t>,
    /// The devices of this upload, nearly always one.
    accounts: Vec<Account>,
    current: usize,
    receipt: Receipt,
}

/// What was received of one device, as of this transaction.
struct Account {
    id: i64,
    device: String,
    epoch: u64,
    received: IntervalSet,
    repeats: u64,
    /// Row numbers by name, by port.
    sensors: HashMap<String, HashMap<String, i64>>,
}

impl<'t> Intake<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let insert = transaction.prepare_cached(
            "INSERT INTO readings (device_id, seq, sensor_id, time_ms, clock_set, cells) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let (accounts, receipt) = (Vec::new(), Receipt::default());
        Ok(Self { transaction, insert, accounts, current: 0, receipt })
    }

    /// Whose readings and sensors come next.
    pub(super) fn device(&mut self, device: &str, epoch: u64) -> Result<(), Refusal> {
        let is_it = |account: &Account| account.epoch == epoch && account.device == device;
        if self.accounts.get(self.current).is_some_and(is_it) {
            return Ok(());
        }
        self.current = match self.accounts.iter().position(is_it) {
            Some(at) => at,
            None => {
                self.accounts.push(open_account(self.transaction, device, epoch)?);
                self.accounts.len() - 1
            }
        };
        Ok(())
    }

    /// The row of a sensor of the current device; made or brought up to date when first seen.
    pub(super) fn sensor(
        &mut self,
        port: &str,
        name: &str,
        channels: Option<&[Channel]>,
    ) -> Result<i64, Refusal> {
        let account = &mut self.accounts[self.current];
        if let Some(id) = account.sensors.get(port).and_then(|sensors| sensors.get(name)) {
            return Ok(*id);
        }
        let id = put_sensor(self.transaction, account.id, port, name, channels)?;
        account.sensors.entry(port.to_owned()).or_default().insert(name.to_owned(), id);
        Ok(id)
    }

    /// Stores one reading of the current device, unless it is known.
    pub(super) fn reading(
        &mut self,
        seq: u64,
        sensor: i64,
        time_ms: i64,
        clock_set: bool,
        cells: &str,
    ) -> Result<(), Refusal> {
        let account = &mut self.accounts[self.current];
        if account.received.insert(seq, seq) == 0 {
            self.receipt.repeats += 1;
            account.repeats += 1;
            return Ok(());
        }
        if account.received.intervals().len() > INTERVALS_MAX {
            return Err(Refusal::Full { what: "gaps of a device", max: INTERVALS_MAX });
        }
        self.insert.execute((account.id, integer(seq), sensor, time_ms, clock_set, cells))?;
        self.receipt.accepted += 1;
        Ok(())
    }

    /// Writes the accounts back.
    pub(super) fn finish(self) -> Result<(Receipt, Vec<DeviceStats>), Refusal> {
        let update = "UPDATE devices SET received = ?2, repeats = ?3 WHERE id = ?1";
        let mut update = self.transaction.prepare_cached(update)?;
        let mut devices = Vec::with_capacity(self.accounts.len());
        for account in self.accounts {
            let Account { id, device, epoch, received, repeats, .. } = account;
            let intervals = match serde_json::to_string(&received) {
                Ok(intervals) => intervals,
                Err(source) => return Err(Refusal::Account { device, source }),
            };
            update.execute((id, intervals, integer(repeats)))?;
            devices.push(DeviceStats::new(device, epoch, &received, repeats));
        }
        Ok((self.receipt, devices))
    }
}

/// A row of `devices`, its account not read yet.
pub(super) struct AccountRow {
    id: i64,
    device: String,
    epoch: String,
    received: String,
    repeats: i64,
}

impl AccountRow {
    const COLUMNS: &'static str = "id, device, epoch, received, repeats";

    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            device: row.get(1)?,
            epoch: row.get(2)?,
            received: row.get(3)?,
            repeats: row.get(4)?,
        })
    }

    pub(super) fn read(self) -> serde_json::Result<DeviceStats> {
        let epoch = serde_json::from_str(&self.epoch)?;
        let received = serde_json::from_str(&self.received)?;
        Ok(DeviceStats::new(self.device, epoch, &received, number(self.repeats)))
    }
}

pub(super) fn account_rows(connection: &Connection) -> rusqlite::Result<Vec<AccountRow>> {
    let select = format!("SELECT {} FROM devices", AccountRow::COLUMNS);
    let mut select = connection.prepare(&select)?;
    select.query_map([], AccountRow::of)?.collect()
}

fn open_account(
    transaction: &Transaction<'_>,
    device: &str,
    epoch: u64,
) -> Result<Account, Refusal> {
    let key = (device, epoch.to_string());
    let columns = AccountRow::COLUMNS;
    let select = format!("SELECT {columns} FROM devices WHERE device = ?1 AND epoch = ?2");
    let row = transaction.prepare_cached(&select)?.query_row(key, AccountRow::of).optional()?;
    let row = match row {
        Some(row) => row,
        None => new_account(transaction, device, epoch)?,
    };
    let received = match serde_json::from_str(&row.received) {
        Ok(received) => received,
        Err(source) => return Err(Refusal::Account { device: row.device, source }),
    };
    let (device, repeats) = (row.device, number(row.repeats));
    Ok(Account { id: row.id, device, epoch, received, repeats, sensors: HashMap::new() })
}

fn new_account(
    transaction: &Transaction<'_>,
    device: &str,
    epoch: u64,
) -> Result<AccountRow, Refusal> {
    let count = "SELECT count(*) FROM devices";
    let count: i64 = transaction.prepare_cached(count)?.query_row([], |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count >= DEVICES_MAX) {
        return Err(Refusal::Full { what: "devices", max: DEVICES_MAX });
    }
    let columns = AccountRow::COLUMNS;
    let insert = format!("INSERT INTO devices (device, epoch) VALUES (?1, ?2) RETURNING {columns}");
    let key = (device, epoch.to_string());
    Ok(transaction.prepare_cached(&insert)?.query_row(key, AccountRow::of)?)
}

fn put_sensor(
    transaction: &Transaction<'_>,
    device: i64,
    port: &str,
    name: &str,
    channels: Option<&[Channel]>,
) -> rusqlite::Result<i64> {
    let failed = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    let channels = channels.map(serde_json::to_string).transpose().map_err(failed)?;
    // JSON lines know no units: they must not wipe out what a packed batch said.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO sensors (device_id, port, name, channels) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET channels = coalesce(excluded.channels, channels) \
         RETURNING id",
    )?;
    insert.query_row((device, port, name, channels), |row| row.get(0))
}

/// SQLite has no unsigned integers; sequence numbers and counts stay far below the difference.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}
