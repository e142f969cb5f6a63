//! What the parts report, by name, and which of it the board shows.
//!
//! The statuses of parts that are gone are kept: what a port took in is where it stands in its stream,
//! and counters go on where they were when a name comes back.

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

    /// What the board shows, from now on.
    pub(super) fn configured(&self) -> watch::Receiver<Configured> {
        self.configured.subscribe()
    }

    /// Where a port that begins reports. It stands in its stream where the one before of its name did.
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

    /// Where a sink that begins reports. It goes on counting where the one before of its name ended.
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

    /// Has the board show what this configuration names.
    pub(super) fn show(&self, config: &Config) {
        let ports = config.ports.iter().filter_map(|port| self.ports.get(&port.name));
        let sinks = config.sinks.iter().filter_map(|sink| self.sinks.get(&sink.name));
        self.configured.send_replace(Configured {
            ports: ports.map(watch::Sender::subscribe).collect(),
            sinks: sinks.map(watch::Sender::subscribe).collect(),
            refused: None,
        });
    }

    /// Has the board show that a newer configuration was refused at this time.
    pub(super) fn show_refusal(&self, now: Duration) {
        self.configured.send_modify(|configured| configured.refused = Some(now));
    }

    /// Clears the tails of ports that say nothing the log does not know.
    pub(super) fn clear_what_is_stored(&self, tails: &Tails, log: &LogStatus) {
        self.ports.values().for_each(|port| tails.clear_if_stored(&port.borrow(), log));
    }
}
