//! What the daemon says of its own life: start and stop, its actors, its local port.

use std::time::Duration;

use tracing::{error, info, warn};

use super::error_chain;
use super::events::Report;

pub(super) const PANICKED: &str = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1000";

#[derive(Debug)]
pub struct Started<'a> {
    pub version: &'a str,
    pub device: &'a str,
}

impl Report for Started<'_> {
    fn report(&self) {
        info!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1001",
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
        info!(message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1002", "stopped");
    }
}

#[derive(Debug)]
pub struct ConfigDoubtful<'a> {
    pub warning: &'a str,
}

impl Report for ConfigDoubtful<'_> {
    fn report(&self) {
        warn!(message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1003", "configuration: {}", self.warning);
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
        metrics::counter!(super::metrics::ACTOR_RESTARTS, "actor" => self.actor.to_owned())
            .increment(1);
        let id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1040";
        match self.restart_in {
            Some(wait) => error!(
                message_id = id,
                actor = self.actor,
                restart_in_s = wait.as_secs_f64(),
                "actor crashed and is restarted: {}",
                self.cause
            ),
            None => error!(
                message_id = id,
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
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1041",
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
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1042",
            actors = self.late.join(", "),
            deadline_s = self.deadline.as_secs_f64(),
            "shutdown deadline passed"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortOpened {
    pub address: std::net::SocketAddr,
}

impl Report for LocalPortOpened {
    fn report(&self) {
        info!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1050",
            address = %self.address,
            "local port listens"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortRefuses<'a> {
    pub address: std::net::SocketAddr,
    pub error: &'a std::io::Error,
}

impl Report for LocalPortRefuses<'_> {
    fn report(&self) {
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1051",
            address = %self.address,
            reason = %self.error,
            "local port cannot take a connection, retrying"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortAbsent<'a> {
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LocalPortAbsent<'_> {
    fn report(&self) {
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1052",
            reason = error_chain(self.error),
            "local port not open, retrying; readings are recorded meanwhile"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortAnnounced<'a> {
    pub device: &'a str,
}

impl Report for LocalPortAnnounced<'_> {
    fn report(&self) {
        info!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1053",
            device = self.device,
            "local port is announced on the local network"
        );
    }
}

/// The daemon does its work without it.
#[derive(Debug)]
pub struct LocalPortUnannounced<'a> {
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LocalPortUnannounced<'_> {
    fn report(&self) {
        warn!(
            message_id = "7d2f9e0ab14c4c6b9d6d8f5a3e7c1054",
            reason = error_chain(self.error),
            "local port is not announced on the local network, retrying"
        );
    }
}
