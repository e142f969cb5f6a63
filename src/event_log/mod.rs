//! The durable log: sole owner of the database.
//!
//! ```text
//!  ingest ──Append──▶ ┌───────────────────────────┐ ◀──next──  upload
//!                     │ LogActor (own thread)     │ ──batch──▶
//!  sinks, ports ─────▶│ open segment, aggregates  │ ◀──ack───
//!          record     │ └─ one commit per interval│
//!                     └─────────────┬─────────────┘
//!                          watch: LogStatus ──▶ uploaders, /status, /metrics
//! ```
//!
//! Three handles: an [`Appender`] can only append, a [`Reader`] can only read, acknowledge and refuse, a
//! [`Curator`] can only change what becomes of what was refused.
//! Both mailboxes are bounded, and the log never sends into anybody's mailbox, so nothing can
//! deadlock. A reading is *accepted* when its message is taken and *stored* after the commit.

use std::path::{Path, PathBuf};

pub mod handle;
pub mod settings;
pub mod status;

pub mod actor;
mod offer;
pub mod quarantine;
mod recovery;
mod retention;
mod state;
pub mod store;

// Readers beside the daemon.
pub mod inspect;

#[cfg(test)]
mod tests;

pub use handle::{
    Acknowledgement, Append, AppendPermit, Appender, Ask, Curator, Limits, LogClosed, LogHandle,
    Mailbox, Reader, Recalled, Refused, channel,
};
pub use recovery::damaged_log;
pub use status::{Disk, LogStatus, PendingLanes, Progress, Wear};
pub use store::error;
use store::files::Files;
pub use store::rows::QuarantineRow;

/// Where the daemon that has this log takes orders.
pub fn control_path(log: &Path) -> PathBuf {
    Files::of(log).control()
}
