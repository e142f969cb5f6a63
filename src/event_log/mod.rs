//! The durable log, which alone owns its database.
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
//! There are three handles: an [`Appender`] can only append, a [`Reader`] can only read, acknowledge and
//! refuse, and a [`Curator`] can only change the quarantine. Both mailboxes are bounded, and the log never
//! sends into the mailbox of another actor, so no deadlock is possible. A reading is *accepted* when its
//! message is taken and *stored* after the commit.

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

// For readers that run beside the daemon.
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

/// The path of the control socket of the daemon that owns this log.
pub fn control_path(log: &Path) -> PathBuf {
    Files::of(log).control()
}
