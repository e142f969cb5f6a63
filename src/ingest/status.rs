//! The state of a port as other tasks see it. Pages and metrics are made from it in `status/`.

use crate::domain::model::ledger::Intake;
use crate::protocols::Partial;

/// Whether a port is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    Untried,
    /// The port could not be opened, or was lost. `reason` says why and what to do.
    Absent {
        reason: String,
    },
    Open,
}

/// The state and account of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    pub name: String,
    pub path: String,
    pub state: PortState,
    pub opened_once: bool,
    /// What was taken in since the process started. The log keeps the account of all time.
    pub intake: Intake,
    /// What is partly read, which is not counted in `intake` yet.
    pub partial: Partial,
    pub last_reading_ms: Option<i64>,
    /// The number of readings recovered from the tail of a predecessor that was killed or crashed.
    pub recovered: u64,
    /// The number of bytes that the tail could not record. A kill loses those that the log has not stored.
    pub unrecorded_bytes: u64,
    /// Whether the actor has ended and handed over everything, including its predecessor's tail.
    pub finished: bool,
}

impl PortStatus {
    /// The number of all bytes received, including those of a partial frame. At a wrong baud rate no frame
    /// may ever end.
    pub fn received_bytes(&self) -> u64 {
        self.intake.bytes + self.partial.bytes
    }

    pub fn new(name: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            state: PortState::Untried,
            opened_once: false,
            intake: Intake::default(),
            partial: Partial::default(),
            last_reading_ms: None,
            recovered: 0,
            unrecorded_bytes: 0,
            finished: false,
        }
    }
}
