//! Writes one upload into the tables: its devices, their sensors, readings and events. It counts the
//! repeats among them.

use std::collections::HashMap;

use outstation_codec::Channel;
use rusqlite::{CachedStatement, Transaction};
use serde::Serialize;

use super::account::{Account, integer};
use super::refusal::UploadRefusal;
use super::stats::DeviceStats;
use crate::domain::model::interval_set::IntervalSet;

/// The largest number of intervals per device. An alarm that is sent ahead of a backlog makes a gap: this
/// is enough for one alarm per second over a day and a half.
const INTERVALS_MAX: usize = 131_072;

/// The counts of new and repeated readings and events of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct UploadReceipt {
    /// The number of readings that were new.
    pub(super) accepted: u64,
    pub(super) repeats: u64,
    pub(super) events: u64,
    pub(super) event_repeats: u64,
}

/// An event of a device, whose fields have been checked.
#[derive(Debug)]
pub(super) struct Happened<'a> {
    pub(super) position: u64,
    pub(super) time_ms: i64,
    pub(super) clock_set: bool,
    pub(super) stream: &'a str,
    pub(super) kind: &'a str,
    /// The further fields of the event, as a JSON object.
    pub(super) data: &'a str,
    /// The first number of the epoch of this event, if the event gives it.
    pub(super) begins: Option<u64>,
}

/// The tables, open for one upload inside its transaction.
pub(super) struct IntakeTransaction<'t> {
    transaction: &'t Transaction<'t>,
    insert: CachedStatement<'t>,
    /// The devices of this upload; nearly always there is only one.
    devices: Vec<Device>,
    current: usize,
    receipt: UploadReceipt,
}

struct Device {
    account: Account,
    /// The row numbers of the sensors, by port and then by name.
    sensors: HashMap<String, HashMap<String, i64>>,
}

impl<'t> IntakeTransaction<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let insert = transaction.prepare_cached(
            "INSERT INTO readings (device_id, seq, sensor_id, time_ms, clock_set, cells) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let (devices, receipt) = (Vec::new(), UploadReceipt::default());
        Ok(Self { transaction, insert, devices, current: 0, receipt })
    }

    /// Sets the device and epoch to which the following sensors, readings and events belong.
    pub(super) fn device(&mut self, device: &str, epoch: u64) -> Result<(), UploadRefusal> {
        let is_it = |known: &Device| known.account.epoch == epoch && known.account.device == device;
        if self.devices.get(self.current).is_some_and(is_it) {
            return Ok(());
        }
        self.current = match self.devices.iter().position(is_it) {
            Some(at) => at,
            None => {
                let account = Account::open(self.transaction, device, epoch)?;
                self.devices.push(Device { account, sensors: HashMap::new() });
                self.devices.len() - 1
            }
        };
        Ok(())
    }

    /// Returns the row of a sensor of the current device. The first call for a sensor creates or updates
    /// the row.
    pub(super) fn sensor(
        &mut self,
        port: &str,
        name: &str,
        channels: Option<&[Channel]>,
    ) -> Result<i64, UploadRefusal> {
        let Device { account, sensors } = &mut self.devices[self.current];
        if let Some(id) = sensors.get(port).and_then(|sensors| sensors.get(name)) {
            return Ok(*id);
        }
        let id = put_sensor(self.transaction, account.id, port, name, channels)?;
        sensors.entry(port.to_owned()).or_default().insert(name.to_owned(), id);
        Ok(id)
    }

    /// Stores one reading of the current device; one that was received before is only counted.
    pub(super) fn reading(
        &mut self,
        seq: u64,
        sensor: i64,
        time_ms: i64,
        clock_set: bool,
        cells: &str,
    ) -> Result<(), UploadRefusal> {
        let account = &mut self.devices[self.current].account;
        if account.tally.readings.insert(seq, seq) == 0 {
            self.receipt.repeats += 1;
            account.tally.repeats += 1;
            return Ok(());
        }
        check_gaps(&account.tally.readings, "gaps of a device")?;
        self.insert.execute((account.id, integer(seq), sensor, time_ms, clock_set, cells))?;
        self.receipt.accepted += 1;
        Ok(())
    }

    /// Stores one event of the current device; one that was received before is only counted.
    pub(super) fn event(&mut self, event: &Happened<'_>) -> Result<(), UploadRefusal> {
        let account = &mut self.devices[self.current].account;
        if account.tally.events.insert(event.position, event.position) == 0 {
            self.receipt.event_repeats += 1;
            account.tally.event_repeats += 1;
            return Ok(());
        }
        check_gaps(&account.tally.events, "gaps in the events of a device")?;
        account.tally.begins = event.begins.unwrap_or(account.tally.begins);
        let Happened { position, time_ms, clock_set, stream, kind, data, .. } = event;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO events (device_id, position, time_ms, clock_set, stream, kind, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let position = integer(*position);
        insert.execute((account.id, position, time_ms, clock_set, stream, kind, data))?;
        self.receipt.events += 1;
        Ok(())
    }

    /// Writes the accounts back.
    pub(super) fn finish(self) -> Result<(UploadReceipt, Vec<DeviceStats>), UploadRefusal> {
        let accounts = self.devices.into_iter().map(|device| device.account);
        let devices = accounts.map(|account| account.store(self.transaction));
        Ok((self.receipt, devices.collect::<Result<_, _>>()?))
    }
}

fn check_gaps(received: &IntervalSet, what: &'static str) -> Result<(), UploadRefusal> {
    if received.intervals().len() > INTERVALS_MAX {
        return Err(UploadRefusal::Full { what, max: INTERVALS_MAX });
    }
    Ok(())
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
    // JSON lines have no units, so they must not overwrite the channels that a packed batch described.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO sensors (device_id, port, name, channels) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET channels = coalesce(excluded.channels, channels) \
         RETURNING id",
    )?;
    insert.query_row((device, port, name, channels), |row| row.get(0))
}
