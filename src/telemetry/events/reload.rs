//! The events about a configuration that came while the daemon was running.

use std::time::Duration;

use tracing::{error, info};

use super::Report;
use super::message_ids;

/// Another configuration is in effect. The parts are named as the supervisor names their actors.
#[derive(Debug)]
pub struct ConfigReloaded<'a> {
    pub started: &'a [String],
    pub stopped: &'a [String],
}

impl Report for ConfigReloaded<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::CONFIG_RELOADED,
            started = self.started.join(", "),
            stopped = self.stopped.join(", "),
            "configuration reloaded; every other part goes on as it was"
        );
    }
}

#[derive(Debug)]
pub struct ConfigRefused<'a> {
    pub reason: &'a str,
}

impl Report for ConfigRefused<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::CONFIG_REFUSED,
            "configuration not reloaded, a person is needed; the one before goes on: {}",
            self.reason
        );
    }
}

#[derive(Debug)]
pub struct ActorDropped<'a> {
    pub actor: &'a str,
    pub deadline: Duration,
}

impl Report for ActorDropped<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::ACTOR_DROPPED,
            actor = self.actor,
            deadline_s = self.deadline.as_secs_f64(),
            "actor did not end in time and was dropped"
        );
    }
}
