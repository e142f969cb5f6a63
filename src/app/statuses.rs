//! Keeps the status of every part by name, and chooses which of them the board shows.
//!
//! The status of a part that was removed is kept: the intake of a port is its place in the stream of bytes,
//! and counters continue when a part of the same name comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::tails::Tails;
use crate::config::{Config, Port, Sink};
use crate::event_log::LogStatus;
use crate::ingest::PortStatus;
use crate::status::board::Configured;
use crate::upload::SinkStatus;

#[derive(Debug)]
pub(super) struct Statuses {
    ports: BTreeMap<String, watch::Sender<PortStatus>>,
    sinks: BTreeMap<String, watch::Sender<SinkStatus>>,
    configured: watch::Sender<Configured>,
}

impl Statuses {
    pub(super) fn new() -> Self {
        let configured = watch::Sender::new(Configured::default());
        Self { ports: BTreeMap::new(), sinks: BTreeMap::new(), configured }
    }

    /// The statuses that the board shows; the receiver follows later changes.
    pub(super) fn configured(&self) -> watch::Receiver<Configured> {
        self.configured.subscribe()
    }

    /// The status of a port that is about to start. It takes over the intake of the previous port of that
    /// name.
    pub(super) fn port(&mut self, port: &Port) -> watch::Sender<PortStatus> {
        let new = PortStatus::new(&port.name, &port.path.display().to_string());
        let before = || watch::Sender::new(new.clone());
        let status = self.ports.entry(port.name.clone()).or_insert_with(before);
        status.send_modify(|status| {
            let (intake, partial) = (std::mem::take(&mut status.intake), status.partial);
            let (recovered, unrecorded_bytes) = (status.recovered, status.unrecorded_bytes);
            *status = PortStatus { intake, partial, recovered, unrecorded_bytes, ..new };
        });
        status.clone()
    }

    /// The status of a sink that is about to start. Its counters continue those of the previous sink of
    /// that name.
    pub(super) fn sink(&mut self, sink: &Sink) -> watch::Sender<SinkStatus> {
        let new = SinkStatus::new(&sink.name, &sink.addresses.main());
        let before = || watch::Sender::new(new.clone());
        let status = self.sinks.entry(sink.name.clone()).or_insert_with(before);
        status.send_modify(|status| {
            *status = SinkStatus {
                endpoints: std::mem::take(&mut status.endpoints),
                requests: status.requests,
                failures: status.failures,
                batches: status.batches,
                readings: status.readings,
                bytes: status.bytes,
                last_delivery_ms: status.last_delivery_ms,
                events_refused: status.events_refused,
                ..new
            };
        });
        status.clone()
    }

    /// Makes the board show the parts that this configuration names.
    pub(super) fn show(&self, config: &Config) {
        let ports = config.ports.iter().filter_map(|port| self.ports.get(&port.name));
        let sinks = config.sinks.iter().filter_map(|sink| self.sinks.get(&sink.name));
        self.configured.send_replace(Configured {
            ports: ports.map(watch::Sender::subscribe).collect(),
            sinks: sinks.map(watch::Sender::subscribe).collect(),
            refused: None,
        });
    }

    /// Makes the board show that a newer configuration was refused at `now` (time since boot).
    pub(super) fn show_refusal(&self, now: Duration) {
        self.configured.send_modify(|configured| configured.refused = Some(now));
    }

    /// Clears the tails that hold only bytes that the log has stored.
    pub(super) fn clear_what_is_stored(&self, tails: &Tails, log: &LogStatus) {
        self.ports.values().for_each(|port| tails.clear_if_stored(&port.borrow(), log));
    }
}
