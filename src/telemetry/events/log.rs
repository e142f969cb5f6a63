//! The events about the log.

use std::path::Path;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;
use crate::error_chain::error_chain;

#[derive(Debug)]
pub struct LogOpened<'a> {
    pub path: &'a Path,
    pub epoch: u64,
    pub next_seq: u64,
}

impl Report for LogOpened<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::LOG_OPENED,
            path = %self.path.display(),
            epoch = self.epoch,
            next_seq = self.next_seq,
            "log opened"
        );
    }
}

#[derive(Debug)]
pub struct LogTrouble<'a> {
    pub path: &'a Path,
    pub error: &'a (dyn std::error::Error + 'static),
    pub remedy: &'a str,
}

impl Report for LogTrouble<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::LOG_TROUBLE,
            path = %self.path.display(),
            reason = error_chain(self.error),
            remedy = self.remedy,
            "log cannot be written; readings are held in memory until it can"
        );
    }
}

#[derive(Debug)]
pub struct LogHealed<'a> {
    pub path: &'a Path,
}

impl Report for LogHealed<'_> {
    fn report(&self) {
        info!(message_id = message_ids::LOG_HEALED, path = %self.path.display(), "log can be written again");
    }
}

/// The log started a new epoch: the numbers of readings mean something else to the receiver from here on.
#[derive(Debug)]
pub struct LogBegan<'a> {
    pub path: &'a Path,
    pub epoch: u64,
    pub reason: &'static str,
}

impl Report for LogBegan<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::LOG_BEGAN,
            path = %self.path.display(),
            epoch = self.epoch,
            reason = self.reason,
            "log began a new epoch"
        );
    }
}

/// A damaged log was replaced by a new one with the readings that could be read.
#[derive(Debug)]
pub struct LogSalvaged<'a> {
    pub path: &'a Path,
    pub aside: &'a Path,
    pub reason: String,
    pub kept: u64,
    pub lost: u64,
    /// The numbers of the lost readings, as ranges.
    pub ranges: &'a str,
}

impl Report for LogSalvaged<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::LOG_SALVAGED,
            path = %self.path.display(),
            aside = %self.aside.display(),
            reason = self.reason,
            kept = self.kept,
            count = self.lost,
            ranges = self.ranges,
            "log was damaged; what could be read of it goes on in a new one, the old one was set aside"
        );
    }
}

#[derive(Debug)]
pub struct ReadingsEvicted {
    pub lane: &'static str,
    pub first: u64,
    pub last: u64,
    pub count: u64,
    /// The time of the first of them in milliseconds, and whether it is a Unix time; otherwise it counts
    /// from boot.
    pub from: (i64, bool),
    pub to: (i64, bool),
}

impl Report for ReadingsEvicted {
    fn report(&self) {
        error!(
            message_id = message_ids::READINGS_EVICTED,
            lane = self.lane,
            first_seq = self.first,
            last_seq = self.last,
            count = self.count,
            from_ms = self.from.0,
            to_ms = self.to.0,
            "log is full; its oldest readings were lost before they could be delivered"
        );
    }
}

/// The file of the running log was deleted or replaced by another program.
#[derive(Debug)]
pub struct LogVanished<'a> {
    pub path: &'a Path,
}

impl Report for LogVanished<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::LOG_VANISHED,
            path = %self.path.display(),
            "log was deleted or replaced while in use; it is written again, nothing is lost"
        );
    }
}

/// The memory for readings became full while the log could not be written.
#[derive(Debug)]
pub struct ReadingsGivenUp {
    pub count: u64,
}

impl Report for ReadingsGivenUp {
    fn report(&self) {
        error!(
            message_id = message_ids::READINGS_GIVEN_UP,
            reason = "overflow",
            count = self.count,
            "the oldest readings in memory were lost because the log cannot be written"
        );
    }
}

#[derive(Debug)]
pub struct SegmentDamaged {
    pub first: u64,
    pub last: u64,
}

impl Report for SegmentDamaged {
    fn report(&self) {
        error!(
            message_id = message_ids::SEGMENT_DAMAGED,
            first_seq = self.first,
            last_seq = self.last,
            count = self.last - self.first + 1,
            "stored readings are damaged and lost"
        );
    }
}

/// A best-effort sink fell behind: the log does not keep readings for it.
#[derive(Debug)]
pub struct ReadingsSkipped<'a> {
    pub sink: &'a str,
    pub first: u64,
    pub last: u64,
}

impl Report for ReadingsSkipped<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::READINGS_SKIPPED,
            sink = self.sink,
            first_seq = self.first,
            last_seq = self.last,
            "readings leave the log before a best-effort sink has them; every other sink does"
        );
    }
}

#[derive(Debug)]
pub struct LogUnreadable<'a> {
    pub path: &'a Path,
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LogUnreadable<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::LOG_UNREADABLE,
            path = %self.path.display(),
            reason = error_chain(self.error),
            "log cannot be read; delivery waits, recording goes on"
        );
    }
}

/// The log ended without storing all readings. The ports' tails hold them, as far as they could be kept.
#[derive(Debug)]
pub struct ReadingsUnsaved {
    pub count: u64,
}

impl Report for ReadingsUnsaved {
    fn report(&self) {
        error!(
            message_id = message_ids::READINGS_UNSAVED,
            count = self.count,
            "readings not stored: the log ended and could not be written; the next start takes them up \
             from the crash tail, unless the device reboots before"
        );
    }
}
