//! Health and readiness: whether all actors make progress, and what keeps the daemon from its work.

use serde::Serialize;

use super::board::Snapshot;
use crate::event_log::LogStatus;
use crate::ingest::{PortState, PortStatus};

/// Whether all actors make progress. If not, a restart would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub alive: bool,
    pub stuck: Vec<String>,
}

impl Health {
    pub fn of(now: &Snapshot) -> Self {
        Self { alive: now.stuck.is_empty(), stuck: now.stuck.clone() }
    }
}

/// Whether the daemon can do its work, with the state of each dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub dependencies: Vec<Dependency>,
}

/// One dependency of readiness. The reason is in words that a technician can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    pub name: String,
    pub ready: bool,
    pub reason: String,
}

impl Readiness {
    /// Derives the readiness from the log and the ports. Sinks do not count: storing readings while
    /// upstream is away is the daemon's work, not its failure.
    pub fn of(now: &Snapshot) -> Self {
        let log = std::iter::once(of_log(&now.log));
        let dependencies: Vec<_> = log.chain(now.ports.iter().map(of_port)).collect();
        Self { ready: dependencies.iter().all(|dependency| dependency.ready), dependencies }
    }

    /// The dependencies that keep the daemon from being ready.
    pub fn missing(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| !dependency.ready)
    }
}

fn of_log(log: &LogStatus) -> Dependency {
    let reason = match &log.trouble {
        _ if log.accepting => "accepts readings",
        Some(trouble) => trouble,
        None => "not open yet",
    };
    Dependency { name: "log".to_owned(), ready: log.accepting, reason: reason.to_owned() }
}

/// A port that was open once does not make the daemon unready again: an unplugged sensor is transient, and
/// taking the board out of service would not plug it in.
fn of_port(port: &PortStatus) -> Dependency {
    let reason = match &port.state {
        PortState::Open => "open",
        PortState::Untried => "not tried yet",
        PortState::Absent { reason } => reason,
    };
    let name = format!("port {}", port.name);
    Dependency { name, ready: port.opened_once, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::test_site::{Site, site};

    fn unready(site: &Site) -> Vec<(String, String)> {
        let readiness = Readiness::of(&site.board.snapshot());
        let missing =
            readiness.missing().map(|missing| (missing.name.clone(), missing.reason.clone()));
        let missing: Vec<_> = missing.collect();
        assert_eq!(readiness.ready, missing.is_empty());
        missing
    }

    fn named(name: &str, reason: &str) -> [(String, String); 1] {
        [(name.to_owned(), reason.to_owned())]
    }

    #[tokio::test]
    async fn a_log_that_does_not_accept_makes_unready_and_says_why() {
        let site = site();
        assert_eq!(unready(&site), []);
        site.log.send_modify(|log| {
            (log.accepting, log.trouble) = (false, Some("failed to commit: disk full".into()));
        });
        assert_eq!(unready(&site), named("log", "failed to commit: disk full"));
        site.log.send_replace(LogStatus::default());
        assert_eq!(unready(&site), named("log", "not open yet"));
    }

    #[tokio::test]
    async fn a_port_must_have_been_open_once_and_may_be_gone_later() {
        let site = site();
        site.port.send_modify(|port| (port.state, port.opened_once) = (PortState::Untried, false));
        assert_eq!(unready(&site), named("port mcu", "not tried yet"));
        site.unplug();
        assert_eq!(unready(&site), named("port mcu", "`/dev/ttyUSB0` is gone; is it unplugged?"));
        site.port.send_modify(|port| port.opened_once = true);
        assert_eq!(unready(&site), []);
    }

    #[tokio::test]
    async fn a_sink_that_is_away_does_not_make_unready() {
        let site = site();
        site.take_link_down();
        assert_eq!(unready(&site), []);
    }

    #[tokio::test]
    async fn a_stuck_actor_is_bad_health_and_named() {
        let mut snapshot = site().board.snapshot();
        assert_eq!(Health::of(&snapshot), Health { alive: true, stuck: vec![] });
        snapshot.stuck = vec!["log".into()];
        assert_eq!(Health::of(&snapshot), Health { alive: false, stuck: vec!["log".into()] });
    }
}
