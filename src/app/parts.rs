//! What is running, and how it follows the configuration. How each part is started is left to `start`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;

use super::change::{self, Change};
use super::start;
use super::tails::Tails;
use crate::clock::Clock;
use crate::config::{Config, Http, Port, Sink};
use crate::discovery::announce;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::error::StorageError;
use crate::event_log::{LogHandle, LogStatus};
use crate::ingest::{PortStatus, tail};
use crate::status::board::{Configured, StatusBoard};
use crate::status::metrics::Metrics;
use crate::supervisor::{Supervisor, SupervisorError};
use crate::telemetry;
use crate::telemetry::events::{ConfigDoubtful, ConfigRefused, ConfigReloaded, Report};
use crate::upload::SinkStatus;

/// However long a stop of everything may take: meanwhile nobody feeds the watchdog or hears a signal.
const RELOAD_DEADLINE_MAX: Duration = Duration::from_secs(5);

/// What is running, and what it takes to start more of it.
#[derive(Debug)]
pub(super) struct Parts {
    /// In effect.
    config: Config,
    pub(super) device: String,
    pub(super) clock: Clock,
    pub(super) log: LogHandle,
    /// What the log holds to.
    settings: LogConfig,
    board: StatusBoard,
    metrics: Metrics,
    tails: Tails,
    /// By name, of those that are gone too: what a port took in is where it stands in its stream, and
    /// counters go on where they were when a name comes back.
    ports: BTreeMap<String, watch::Sender<PortStatus>>,
    sinks: BTreeMap<String, watch::Sender<SinkStatus>>,
    configured: watch::Sender<Configured>,
    local_addr: Option<SocketAddr>,
}

/// The names of the actors that another configuration ended, and of those that it began.
#[derive(Debug)]
pub(super) struct Moved {
    stopped: Vec<String>,
    started: Vec<String>,
}

/// What is left to do when everything has stopped.
#[derive(Debug)]
pub(super) struct Remains {
    tails: Tails,
    ports: BTreeMap<String, watch::Sender<PortStatus>>,
}

impl Remains {
    pub(super) fn clear_what_is_stored(&self, log: &LogStatus) {
        self.ports.values().for_each(|port| self.tails.clear_if_stored(&port.borrow(), log));
    }
}

impl Parts {
    /// Starts what no configuration removes: the log, and who gives it orders.
    pub(super) fn begin(
        supervisor: &mut Supervisor,
        config: &Config,
        device: &str,
        clock: Clock,
    ) -> Result<(Self, StatusBoard), StorageError> {
        let settings = start::log_config(config, device);
        let log = start::log(supervisor, &settings, &clock)?;
        start::control(supervisor, config, &log);
        let configured = watch::Sender::new(Configured::default());
        let board = StatusBoard {
            device: device.into(),
            version: env!("CARGO_PKG_VERSION"),
            clock: clock.clone(),
            rounds: supervisor.rounds(),
            log: log.status(),
            configured: configured.subscribe(),
        };
        let http = Http { listen: None, ..config.http.clone() };
        let mut nothing = Config { http, ..config.clone() };
        nothing.ports.clear();
        nothing.sinks.clear();
        let parts = Self {
            config: nothing,
            device: device.to_owned(),
            clock,
            log,
            settings,
            board: board.clone(),
            metrics: Metrics::install(),
            tails: Tails::new(&config.log.path),
            ports: BTreeMap::new(),
            sinks: BTreeMap::new(),
            configured,
            local_addr: None,
        };
        Ok((parts, board))
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Lets go of the log, which ends when nobody can hand it anything any more.
    pub(super) fn leave(self) -> (Duration, Remains) {
        let Self { config, tails, ports, .. } = self;
        (config.supervisor.shutdown_deadline, Remains { tails, ports })
    }

    /// Goes over to another configuration, or says why not and changes nothing at all.
    pub(super) async fn reload(
        &mut self,
        supervisor: &mut Supervisor,
        config: Result<Config, String>,
    ) -> Result<(), SupervisorError> {
        let config = config.and_then(|config| match change::fixed(&self.config, &config)[..] {
            [] => Ok(config),
            ref keys => Err(format!("{} changed; restart to apply", keys.join(", "))),
        });
        match config {
            Ok(config) => {
                let Moved { stopped, started } = self.apply(supervisor, config).await?;
                ConfigReloaded { started: &started, stopped: &stopped }.report();
            }
            Err(reason) => {
                ConfigRefused { reason: &reason }.report();
                let now = self.clock.now();
                self.configured.send_modify(|configured| configured.refused = Some(now));
            }
        }
        Ok(())
    }

    /// Ends what the configuration does not have any more, and begins what is new in it.
    pub(super) async fn apply(
        &mut self,
        supervisor: &mut Supervisor,
        config: Config,
    ) -> Result<Moved, SupervisorError> {
        for warning in config.warnings() {
            ConfigDoubtful { warning: &warning }.report();
        }
        let change = Change::between(&self.config, &config);
        let deadline = self.config.supervisor.shutdown_deadline.min(RELOAD_DEADLINE_MAX);
        let before = supervisor.running();
        supervisor.stop(&change.ending(), deadline).await?;
        let kept = supervisor.running();
        self.config = config;
        telemetry::set_level(&self.config.telemetry.level);
        self.tell_log();
        if change.http {
            self.local_addr =
                start::http(supervisor, &self.config, &self.board, &self.metrics).await;
            let (http, device) = (&self.config.http, &self.board.device);
            announce::start(supervisor, http, device, self.local_addr);
        }
        for sink in
            self.config.sinks.iter().filter(|sink| change.sinks.beginning.contains(&sink.name))
        {
            let status = renewed_sink(&mut self.sinks, sink);
            start::upload(supervisor, self, sink, status);
        }
        self.tails.divide_among(self.config.ports.len());
        for port in
            self.config.ports.iter().filter(|port| change.ports.beginning.contains(&port.name))
        {
            let status = renewed_port(&mut self.ports, port);
            start::port(supervisor, self, port, change::alarms(&self.config, &port.name), status);
        }
        self.list();
        let only_in = |some: &BTreeSet<String>| some.difference(&kept).cloned().collect();
        Ok(Moved { stopped: only_in(&before), started: only_in(&supervisor.running()) })
    }

    /// The log commits what it was handed under the old settings together with the change.
    fn tell_log(&mut self) {
        let settings = start::log_config(&self.config, &self.device);
        if settings != self.settings {
            self.log.reconfigure(settings.clone());
            self.settings = settings;
        }
    }

    pub(super) fn tail(&self, port: &str) -> tail::Place {
        self.tails.place(port)
    }

    fn list(&self) {
        let ports = self.config.ports.iter().filter_map(|port| self.ports.get(&port.name));
        let sinks = self.config.sinks.iter().filter_map(|sink| self.sinks.get(&sink.name));
        self.configured.send_replace(Configured {
            ports: ports.map(watch::Sender::subscribe).collect(),
            sinks: sinks.map(watch::Sender::subscribe).collect(),
            refused: None,
        });
    }
}

/// A port that takes up a name stands in its stream where the one before did.
fn renewed_port(
    known: &mut BTreeMap<String, watch::Sender<PortStatus>>,
    port: &Port,
) -> watch::Sender<PortStatus> {
    let new = PortStatus::new(&port.name, &port.path.display().to_string());
    let status = known.entry(port.name.clone()).or_insert_with(|| watch::Sender::new(new.clone()));
    status.send_modify(|status| {
        let (intake, open) = (std::mem::take(&mut status.intake), status.open);
        let (recovered, unrecorded_bytes) = (status.recovered, status.unrecorded_bytes);
        *status = PortStatus { intake, open, recovered, unrecorded_bytes, ..new };
    });
    status.clone()
}

/// The same for a sink: it goes on counting.
fn renewed_sink(
    known: &mut BTreeMap<String, watch::Sender<SinkStatus>>,
    sink: &Sink,
) -> watch::Sender<SinkStatus> {
    let new = SinkStatus::new(&sink.name, &sink.addresses.main());
    let status = known.entry(sink.name.clone()).or_insert_with(|| watch::Sender::new(new.clone()));
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
