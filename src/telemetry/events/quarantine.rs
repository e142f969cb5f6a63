//! The events about readings that a sink refuses, and about the control socket.

use std::path::Path;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;
use crate::domain::model::quarantine::{Done, QuarantineCommand};
use crate::error_chain::error_chain;

/// Refused readings were put into quarantine. They are not lost, and later readings do not wait for them.
#[derive(Debug)]
pub struct ReadingsQuarantined<'a> {
    pub sink: &'a str,
    pub first: u64,
    pub last: u64,
    pub count: u64,
    /// The server's answer to the last of them.
    pub reason: &'a str,
}

impl Report for ReadingsQuarantined<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::READINGS_QUARANTINED,
            sink = self.sink,
            first_seq = self.first,
            last_seq = self.last,
            count = self.count,
            reason = self.reason,
            "sink refuses readings for good, they are kept in quarantine; see `outstation quarantine list`"
        );
    }
}

/// The reason why a copy in quarantine was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The sink has more than its `quarantine_readings`.
    Limit,
    /// The copies take more than their part of the log's space.
    Room,
    /// The storage returned other bytes than were written.
    Damaged,
    /// A person dropped them with `outstation quarantine drop`.
    Dropped,
}

#[derive(Debug)]
pub struct ReadingsDiscarded<'a> {
    pub sink: &'a str,
    pub first: u64,
    pub last: u64,
    pub count: u64,
    pub why: Why,
}

impl Report for ReadingsDiscarded<'_> {
    fn report(&self) {
        let why = match self.why {
            Why::Limit => "there are more than `quarantine_readings` of the sink allows",
            Why::Room => "they take more than their part of `log.max_bytes`",
            Why::Damaged => "their copies are damaged",
            Why::Dropped => "they were dropped by `outstation quarantine drop`",
        };
        error!(
            message_id = message_ids::READINGS_DISCARDED,
            sink = self.sink,
            first_seq = self.first,
            last_seq = self.last,
            count = self.count,
            reason = "refused",
            "refused readings are lost from quarantine: {why}"
        );
    }
}

/// A person had readings in quarantine offered again or dropped.
#[derive(Debug)]
pub struct QuarantineChanged<'a> {
    pub command: QuarantineCommand,
    pub done: &'a Done,
}

impl Report for QuarantineChanged<'_> {
    fn report(&self) {
        let done = match self.command {
            QuarantineCommand::Replay => "offered again",
            QuarantineCommand::Drop => "dropped",
        };
        info!(
            message_id = message_ids::QUARANTINE_CHANGED,
            sink = self.done.sink,
            count = self.done.readings,
            "readings in quarantine are {done}, as a person asked"
        );
    }
}

/// The control socket could not be opened. The daemon works without it.
#[derive(Debug)]
pub struct ControlAbsent<'a> {
    pub path: &'a Path,
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for ControlAbsent<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::CONTROL_ABSENT,
            path = %self.path.display(),
            reason = error_chain(self.error),
            "control socket not there, retrying; until then `outstation quarantine replay` and `drop` \
             need a stopped daemon"
        );
    }
}
