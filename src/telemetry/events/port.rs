//! The events about serial ports and the sensors behind them.

use std::path::Path;

use tracing::{error, info, warn};

use outstation_codec::FaultCounts;

use super::Report;
use super::message_ids;

#[derive(Debug)]
pub struct SensorCrowded<'a> {
    pub port: &'a str,
    pub sensor: &'a str,
}

impl Report for SensorCrowded<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::SENSOR_CROWDED,
            port = self.port,
            sensor = self.sensor,
            "sensor has shown all the channels it may have; values of further ones are left out"
        );
    }
}

#[derive(Debug)]
pub struct PortOpened<'a> {
    pub port: &'a str,
    pub path: &'a Path,
}

impl Report for PortOpened<'_> {
    fn report(&self) {
        info!(message_id = message_ids::PORT_OPENED, port = self.port, path = %self.path.display(), "port opened");
    }
}

#[derive(Debug)]
pub struct PortAbsent<'a> {
    pub port: &'a str,
    pub reason: &'a str,
    pub detail: &'a str,
}

impl Report for PortAbsent<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::PORT_ABSENT,
            port = self.port,
            reason = self.reason,
            "port not open, retrying: {}",
            self.detail
        );
    }
}

#[derive(Debug)]
pub struct PortFaults<'a> {
    pub port: &'a str,
    pub since_last: &'a FaultCounts,
}

impl Report for PortFaults<'_> {
    fn report(&self) {
        let Some((worst, _)) = self.since_last.seen().max_by_key(|(_, count)| *count) else {
            return;
        };
        let counts: Vec<String> = self
            .since_last
            .seen()
            .map(|(fault, count)| format!("{} {count}", fault.reason()))
            .collect();
        warn!(
            message_id = message_ids::PORT_FAULTS,
            port = self.port,
            reason = worst.reason(),
            count = self.since_last.seen().map(|(_, count)| count).sum::<u64>(),
            faults = counts.join(", "),
            "port delivers faults: {}",
            worst.meaning()
        );
    }
}

#[derive(Debug)]
pub struct ReadingsOverflowed<'a> {
    pub port: &'a str,
    pub count: u64,
}

impl Report for ReadingsOverflowed<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::READINGS_OVERFLOWED,
            port = self.port,
            count = self.count,
            reason = "overflow",
            "readings lost: the log does not keep up"
        );
    }
}

#[derive(Debug)]
pub struct SensorSaid<'a> {
    pub port: &'a str,
    pub level: outstation_wire::Level,
    pub text: &'a str,
}

impl Report for SensorSaid<'_> {
    fn report(&self) {
        // An error that a sensor reports is logged as a warning, because the daemon loses nothing by it.
        let text = self.text.escape_debug();
        match self.level {
            outstation_wire::Level::Error | outstation_wire::Level::Warn => {
                warn!(
                    message_id = message_ids::SENSOR_SAID,
                    port = self.port,
                    "sensor says: {text}"
                );
            }
            outstation_wire::Level::Info | outstation_wire::Level::Debug => {
                info!(
                    message_id = message_ids::SENSOR_SAID,
                    port = self.port,
                    "sensor says: {text}"
                );
            }
        }
    }
}
