//! Carries out an order on the quarantine when no daemon runs.

use super::log_actor::LogActor;
use crate::clock::Clock;
use crate::domain::model::quarantine::{Done, QuarantineOrder};
use crate::event_log::handle::channel;
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::error::StorageError;

/// Opens the log, carries an order out, and closes the log again. The outer result says whether the log
/// could be used, the inner one what the order did.
pub fn carry_out_alone(
    config: LogConfig,
    clock: Clock,
    order: &QuarantineOrder,
) -> Result<Result<Vec<Done>, Declined>, StorageError> {
    let mut actor = LogActor::open(config, clock)?;
    let (_handle, mailbox) = channel();
    let carried_out = actor.carry_out(order, &mailbox)?;
    actor.report_quarantine();
    Ok(carried_out)
}
