//! The events about crash tails: the readings recovered from them, and the reasons why they cannot be kept.

use std::path::Path;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;

/// Readings of a previous process were recovered from a port's tail.
#[derive(Debug)]
pub struct TailRecovered<'a> {
    pub port: &'a str,
    pub readings: u64,
    pub bytes: u64,
}

impl Report for TailRecovered<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::TAIL_RECOVERED,
            port = self.port,
            count = self.readings,
            bytes = self.bytes,
            "recovered readings that a process which was killed or crashed had taken in"
        );
    }
}

#[derive(Debug)]
pub struct TailUnwritten<'a> {
    pub port: &'a str,
    pub folder: &'a Path,
    pub reason: &'a str,
}

impl Report for TailUnwritten<'_> {
    fn report(&self) {
        let folder = self.folder.display();
        warn!(
            message_id = message_ids::TAIL_UNWRITTEN,
            port = self.port,
            path = %folder,
            reason = self.reason,
            "crash tail cannot be kept, retrying; until then a kill loses what is not committed; \
             `df {folder}` shows whether the folder is there and has space"
        );
    }
}

#[derive(Debug)]
pub struct TailRecordsAgain<'a> {
    pub port: &'a str,
}

impl Report for TailRecordsAgain<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::TAIL_RECORDS_AGAIN,
            port = self.port,
            "crash tail is kept again"
        );
    }
}

/// A tail from before a reboot was dropped: the readings in these bytes are lost.
#[derive(Debug)]
pub struct TailOutdated<'a> {
    pub port: &'a str,
    pub bytes: u64,
}

impl Report for TailOutdated<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::TAIL_OUTDATED,
            port = self.port,
            bytes = self.bytes,
            reason = "boot",
            "crash tail is from before the device rebooted and is dropped: its readings have no time"
        );
    }
}

#[derive(Debug)]
pub struct TailDamaged<'a> {
    pub port: &'a str,
    pub bytes: u64,
}

impl Report for TailDamaged<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::TAIL_DAMAGED,
            port = self.port,
            bytes = self.bytes,
            reason = "damaged",
            "crash tail is damaged: what stands behind the damage is lost"
        );
    }
}

#[derive(Debug)]
pub struct TailGivenUp<'a> {
    pub port: &'a str,
    pub bytes: u64,
    pub attempts: u32,
}

impl Report for TailGivenUp<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::TAIL_GIVEN_UP,
            port = self.port,
            bytes = self.bytes,
            attempts = self.attempts,
            reason = "crash",
            "crash tail is dropped: decoding it ended this program every time"
        );
    }
}
