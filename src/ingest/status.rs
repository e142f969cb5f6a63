//! A port as others see it.

use crate::domain::model::ledger::Intake;
use crate::protocols::Partial;

/// Where a port stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    Untried,
    /// Could not be opened, or was lost; `reason` says why and what to do.
    Absent {
        reason: String,
    },
    Open,
}

/// What a port reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    pub name: String,
    pub path: String,
    pub state: PortState,
    pub opened_once: bool,
    /// Since the process started; the log keeps the account of its whole life.
    pub intake: Intake,
    /// What stands half read; it is not in `intake` yet.
    pub partial: Partial,
    pub last_reading_ms: Option<i64>,
    /// Readings taken up from the tail of a predecessor that was killed or crashed.
    pub recovered: u64,
    /// Bytes the tail could not record: until they are stored, a kill would lose them.
    pub unrecorded_bytes: u64,
    /// Whether it has ended and handed over all it had, its predecessor's tail included.
    pub finished: bool,
}

impl PortStatus {
    /// Every byte that came, also when no frame or line has ended yet: at a wrong baud rate that
    /// may be never.
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
