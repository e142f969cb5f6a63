//! One run of the log's actor, from a path to its last commit.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::log_actor::LogActor;
use super::waiting;
use crate::clock::Clock;
use crate::event_log::handle::Mailbox;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::error::StorageError;
use crate::supervisor::heartbeat::Heartbeat;

/// Runs the log that is open already, or opens it as soon as the storage can be used.
pub async fn run(
    opened: Option<LogActor>,
    config: LogConfig,
    clock: Clock,
    mailbox: Arc<Mutex<Mailbox>>,
    mut heartbeat: Heartbeat,
) -> Result<(), StorageError> {
    let actor = match opened {
        Some(actor) => actor,
        None => match waiting::open_when_usable(config, clock, &mailbox, &mut heartbeat).await? {
            Some(actor) => actor,
            None => return Ok(()),
        },
    };
    actor.run(mailbox, heartbeat).await
}
