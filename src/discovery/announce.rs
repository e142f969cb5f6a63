//! Announces the local port on the local network for as long as the daemon runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use super::mdns::{Announcement, METRICS, METRICS_TLS, MdnsError};
use crate::config::Http;
use crate::supervisor::heartbeat::Heartbeat;
use crate::supervisor::{ActorSupervisor, Executor, Stage, Stop};
use crate::telemetry::events::{LocalPortAnnounced, LocalPortUnannounced, Report};

/// The name of the actor.
pub const ANNOUNCE: &str = "announce";

/// Starts the announcement if the configuration asks for it and the local port listens, or will listen, on
/// an address that the network can reach.
pub fn start(
    supervisor: &mut ActorSupervisor,
    config: &Http,
    device: &Arc<str>,
    bound: Option<SocketAddr>,
) {
    let reachable = |listens: &SocketAddr| !listens.ip().is_loopback();
    let listens = bound.or(config.listen).filter(reachable);
    let Some(listens) = listens.filter(|_| config.announce) else { return };
    let device = Arc::clone(device);
    let service = if config.tls().is_some() { METRICS_TLS } else { METRICS };
    supervisor.start(Stage::Http, ANNOUNCE, Executor::SharedRuntime, move |heartbeat, stop| {
        announce(service, Arc::clone(&device), listens, stop, heartbeat)
    });
}

/// Announces the service until the stop is requested. A failure is reported once, and tried again with each
/// heartbeat.
async fn announce(
    service: &str,
    device: Arc<str>,
    listens: SocketAddr,
    mut stop: Stop,
    mut heartbeat: Heartbeat,
) -> Result<(), Infallible> {
    let (mut announcement, mut reported) = (None, false);
    loop {
        if announcement.is_none() {
            match begin(service, &device, listens) {
                Ok(announced) => {
                    LocalPortAnnounced { device: &device }.report();
                    announcement = Some(announced);
                }
                Err(error) if !std::mem::replace(&mut reported, true) => {
                    LocalPortUnannounced { error: &error }.report();
                }
                Err(_) => {}
            }
        }
        // Both arms are cancel-safe.
        tokio::select! {
            () = stop.requested() => break,
            () = heartbeat.answer() => {}
        }
    }
    if let Some(announcement) = announcement {
        announcement.end().await;
    }
    Ok(())
}

fn begin(service: &str, device: &str, listens: SocketAddr) -> Result<Announcement, MdnsError> {
    let version = env!("CARGO_PKG_VERSION");
    let texts = [("path", "/metrics"), ("device", device), ("version", version)];
    Announcement::start(service, device, listens, &texts)
}
