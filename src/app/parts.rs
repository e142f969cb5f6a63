//! Keeps the running parts and brings them in line with the configuration. How each part is started is left
//! to `start`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::change::{self, ConfigChange};
use super::log_settings::log_config;
use super::start::{self, Common};
use super::statuses::Statuses;
use super::tails::Tails;
use crate::clock::Clock;
use crate::config::{self, Config, Http};
use crate::discovery::announce;
use crate::event_log::LogStatus;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::error::StorageError;
use crate::status::board::StatusBoard;
use crate::status::metrics::Metrics;
use crate::supervisor::{ActorSupervisor, SupervisorError};
use crate::telemetry;
use crate::telemetry::events::{ConfigDoubtful, ConfigRefused, ConfigReloaded, Report};

/// The longest time that a reload waits for the parts it ends, even if the shutdown deadline is longer:
/// meanwhile the watchdog is not fed and no signal is handled.
const RELOAD_DEADLINE_MAX: Duration = Duration::from_secs(5);

/// The running parts, and the means to start more of them.
#[derive(Debug)]
pub(super) struct Parts {
    /// The configuration in effect.
    config: Config,
    common: Common,
    /// The settings that the log was given last.
    settings: LogConfig,
    board: StatusBoard,
    metrics: Metrics,
    tails: Tails,
    statuses: Statuses,
    local_addr: Option<SocketAddr>,
}

/// The names of the actors that a change of the configuration stopped, and of those that it started.
#[derive(Debug)]
pub(super) struct Moved {
    stopped: Vec<String>,
    started: Vec<String>,
}

/// The work that is left when everything has stopped: clearing tails whose bytes are all stored.
#[derive(Debug)]
pub(super) struct TailCleanup {
    tails: Tails,
    statuses: Statuses,
}

impl TailCleanup {
    pub(super) fn clear_what_is_stored(&self, log: &LogStatus) {
        self.statuses.clear_what_is_stored(&self.tails, log);
    }
}

impl Parts {
    /// Starts the parts that no configuration removes: the log, and the control socket. Ports, sinks and
    /// the local port start with the first `apply`.
    pub(super) fn begin(
        supervisor: &mut ActorSupervisor,
        config: &Config,
        device: &str,
        clock: Clock,
    ) -> Result<(Self, StatusBoard), StorageError> {
        let settings = log_config(config, device);
        let log = start::log(supervisor, &settings, &clock)?;
        start::control(supervisor, config, &log);
        let statuses = Statuses::new();
        let board = StatusBoard {
            device: device.into(),
            version: env!("CARGO_PKG_VERSION"),
            clock: clock.clone(),
            liveness: supervisor.liveness(),
            log: log.status(),
            configured: statuses.configured(),
        };
        let http = Http { listen: None, ..config.http.clone() };
        let mut nothing = Config { http, ..config.clone() };
        nothing.ports.clear();
        nothing.sinks.clear();
        let parts = Self {
            config: nothing,
            common: Common { device: device.to_owned(), clock, log },
            settings,
            board: board.clone(),
            metrics: Metrics::install(),
            tails: Tails::new(&config.log.path),
            statuses,
            local_addr: None,
        };
        Ok((parts, board))
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Drops the handles on the log, which ends once no handle is left. Returns the shutdown deadline and
    /// the work to do after the stop.
    pub(super) fn leave(self) -> (Duration, TailCleanup) {
        let Self { config, tails, statuses, .. } = self;
        (config.supervisor.shutdown_deadline, TailCleanup { tails, statuses })
    }

    /// Applies another configuration. If there is none, or it changes keys that need a restart, the reason
    /// is reported and nothing changes.
    pub(super) async fn reload(
        &mut self,
        supervisor: &mut ActorSupervisor,
        config: Result<Config, String>,
    ) -> Result<(), SupervisorError> {
        let config = config.and_then(|config| match self.config.restart_needed(&config)[..] {
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
                self.statuses.show_refusal(self.common.clock.now());
            }
        }
        Ok(())
    }

    /// Ends the parts that differ from `config` or are not in it, and starts those that are new in it.
    pub(super) async fn apply(
        &mut self,
        supervisor: &mut ActorSupervisor,
        config: Config,
    ) -> Result<Moved, SupervisorError> {
        for warning in config::warnings(&config) {
            ConfigDoubtful { warning: &warning }.report();
        }
        let change = ConfigChange::between(&self.config, &config);
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
            let status = self.statuses.sink(sink);
            start::upload(supervisor, &self.common, sink, status);
        }
        self.tails.divide_among(self.config.ports.len());
        for port in
            self.config.ports.iter().filter(|port| change.ports.beginning.contains(&port.name))
        {
            let alarms = change::alarms(&self.config, &port.name);
            let (tail, status) = (self.tails.path(&port.name), self.statuses.port(port));
            start::port(supervisor, &self.common, port, alarms, tail, status);
        }
        self.statuses.show(&self.config);
        let only_in = |some: &BTreeSet<String>| some.difference(&kept).cloned().collect();
        Ok(Moved { stopped: only_in(&before), started: only_in(&supervisor.running()) })
    }

    /// Gives the log its new settings. It commits what it accepted under the old settings together with the
    /// change.
    fn tell_log(&mut self) {
        let settings = log_config(&self.config, &self.common.device);
        if settings != self.settings {
            self.common.log.reconfigure(settings.clone());
            self.settings = settings;
        }
    }
}
