//! The events about the daemon itself: its start and stop, its configuration, and its actors.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;
use crate::telemetry::metric_names::ACTOR_RESTARTS;

#[derive(Debug)]
pub struct Started<'a> {
    pub version: &'a str,
    pub device: &'a str,
}

impl Report for Started<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::STARTED,
            version = self.version,
            device = self.device,
            "started"
        );
    }
}

#[derive(Debug)]
pub struct Stopped;

impl Report for Stopped {
    fn report(&self) {
        info!(message_id = message_ids::STOPPED, "stopped");
    }
}

#[derive(Debug)]
pub struct ConfigDoubtful<'a> {
    pub warning: &'a str,
}

impl Report for ConfigDoubtful<'_> {
    fn report(&self) {
        warn!(message_id = message_ids::CONFIG_DOUBTFUL, "configuration: {}", self.warning);
    }
}

#[derive(Debug)]
pub struct ActorCrashed<'a> {
    pub actor: &'a str,
    pub cause: &'a str,
    pub restart_in: Option<Duration>,
}

impl Report for ActorCrashed<'_> {
    fn report(&self) {
        metrics::counter!(ACTOR_RESTARTS, "actor" => self.actor.to_owned()).increment(1);
        match self.restart_in {
            Some(wait) => error!(
                message_id = message_ids::ACTOR_CRASHED,
                actor = self.actor,
                restart_in_s = wait.as_secs_f64(),
                "actor crashed and is restarted: {}",
                self.cause
            ),
            None => error!(
                message_id = message_ids::ACTOR_CRASHED,
                actor = self.actor,
                "actor crashed and is given up: {}",
                self.cause
            ),
        }
    }
}

#[derive(Debug)]
pub struct ActorStuck<'a> {
    pub actor: &'a str,
}

impl Report for ActorStuck<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::ACTOR_STUCK,
            actor = self.actor,
            "actor makes no progress"
        );
    }
}

#[derive(Debug)]
pub struct StageLate<'a> {
    pub late: &'a [String],
    pub deadline: Duration,
}

impl Report for StageLate<'_> {
    fn report(&self) {
        error!(
            message_id = message_ids::STAGE_LATE,
            actors = self.late.join(", "),
            deadline_s = self.deadline.as_secs_f64(),
            "shutdown deadline passed"
        );
    }
}
