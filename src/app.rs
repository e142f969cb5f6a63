//! The composition root: the only file that names every concrete type.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::config::{Addresses, Config, Sink};
use crate::control::server::{self as control, Control};
use crate::device::{self, DeviceError};
use crate::discovery::announce;
use crate::domain::alarm::Rule;
use crate::domain::breaker::Policy;
use crate::domain::endpoint::Endpoint;
use crate::event_log::actor::{Intervals, LogActor, LogConfig, SinkRules};
use crate::event_log::error::StorageError;
use crate::event_log::{self, Limits, LogHandle, LogStatus};
use crate::http::LocalPort;
use crate::ingest::actor::{self as ingest, Ingest};
use crate::ingest::{PortState, PortStatus, tail};
use crate::supervisor::notify::Notifier;
use crate::supervisor::{Place, Stage, Supervisor, SupervisorError};
use crate::telemetry::board::StatusBoard;
use crate::telemetry::events::{
    ConfigDoubtful, LocalPortAbsent, ReadingsUnsaved, Report, Started, Stopped,
};
use crate::telemetry::metrics::Metrics;
use crate::upload::actor::Upload;
use crate::upload::breaker::{Context, Recoveries};
use crate::upload::endpoints::Endpoints;
use crate::upload::registry::{self, Registry};
use crate::upload::{SinkStatus, Wire, recall, sinks, stack};

/// Why the daemon does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Log(#[from] StorageError),
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// A daemon that is running.
#[derive(Debug)]
pub struct App {
    config: Config,
    supervisor: Supervisor,
    board: StatusBoard,
    local_addr: Option<SocketAddr>,
    tails: Tails,
}

impl App {
    /// Starts everything, backwards along the flow: log, local port, uploads, ports.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, AppError> {
        let device = device::id(&config.device)?;
        Started { version: env!("CARGO_PKG_VERSION"), device: &device }.report();
        for warning in config.warnings() {
            ConfigDoubtful { warning: &warning }.report();
        }
        let mut supervisor = Supervisor::new(clock.clone());
        let log = start_log(&mut supervisor, &config, &device, &clock)?;
        let ports: Vec<_> = config.ports.iter().map(port_status).collect();
        let sinks: Vec<_> = config.sinks.iter().map(sink_status).collect();
        let board = StatusBoard {
            device: device.as_str().into(),
            version: env!("CARGO_PKG_VERSION"),
            clock: clock.clone(),
            rounds: supervisor.rounds(),
            log: log.status(),
            ports: ports.iter().map(watch::Sender::subscribe).collect(),
            sinks: sinks.iter().map(watch::Sender::subscribe).collect(),
        };
        let local_addr = start_http(&mut supervisor, &config, &board).await;
        announce::start(&mut supervisor, &config.http, &board.device, local_addr);
        start_control(&mut supervisor, &config, &log);
        for (sink, status) in config.sinks.iter().zip(sinks) {
            start_upload(&mut supervisor, sink, &log, &device, &clock, status);
        }
        let tails = Tails::new(&config);
        for (port, status) in config.ports.iter().zip(ports) {
            start_port(
                &mut supervisor,
                (port.clone(), alarms(&config, &port.name)),
                &log,
                &tails,
                &clock,
                status,
            );
        }
        Ok(Self { config, supervisor, board, local_addr, tails })
    }

    /// What every part reports of itself.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Where the local port listens, unless it is off.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Runs until `stop` resolves, then drains in order; `hurry` cuts that short.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let (summary, board) = (self.board.clone(), self.board.clone());
        let (log, ports, tails) = (self.board.log, self.board.ports, self.tails);
        let notifier = Notifier::new(move || summary.summary_line());
        let deadline = self.config.supervisor.shutdown_deadline;
        let ready = ready(board);
        let ended = self.supervisor.run(ready, stop, hurry, deadline, &notifier).await;
        let count = log.borrow().ledger.uncommitted;
        if count > 0 {
            ReadingsUnsaved { count }.report();
        }
        ports.iter().for_each(|port| tails.clear_if_stored(&port.borrow(), &log.borrow()));
        ended?;
        Stopped.report();
        Ok(())
    }
}

/// Where the ports' tails are.
#[derive(Debug)]
struct Tails {
    places: BTreeMap<String, tail::Place>,
}

impl Tails {
    fn new(config: &Config) -> Self {
        let path = &config.log.path;
        // systemd names the runtime directory so; it may name several.
        let given = std::env::var_os("RUNTIME_DIRECTORY");
        let given = given.as_ref().and_then(|given| std::env::split_paths(given).next());
        let given = given.filter(|folder| folder.is_absolute());
        let folder = given.or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
        let ports = config.ports.len();
        let place = |name: &String| tail::Place::new(&folder, path, name, ports);
        let places = config.ports.iter().map(|port| (port.name.clone(), place(&port.name)));
        Self { places: places.collect() }
    }

    /// A tail that says nothing the log does not know is no use to the next process.
    fn clear_if_stored(&self, port: &PortStatus, log: &LogStatus) {
        let of_port = |bytes: &BTreeMap<String, u64>| bytes.get(&port.name).copied().unwrap_or(0);
        let read = of_port(&log.found_bytes) + port.received_bytes();
        let nothing_owed = port.finished && of_port(&log.stored_bytes) == read;
        if let Some(place) = self.places.get(&port.name).filter(|_| nothing_owed) {
            place.clear();
        }
    }
}

/// Resolves when the log accepts and every port was tried.
async fn ready(mut board: StatusBoard) {
    drop(board.log.wait_for(|log| log.accepting).await);
    for port in &mut board.ports {
        drop(port.wait_for(|port| port.state != PortState::Untried).await);
    }
}

/// What the log is told of the configuration.
pub fn log_config(config: &Config, device: &str) -> LogConfig {
    LogConfig {
        device: device.to_owned(),
        path: config.log.path.clone(),
        commit_interval: Intervals {
            alarm: config.log.alarm_commit_interval,
            live: config.log.commit_interval,
            backfill: config.log.backfill_commit_interval.unwrap_or(config.log.commit_interval),
        },
        commit_readings: config.log.commit_readings,
        bytes_max: config.log.max_bytes,
        quarantine_readings: config
            .sinks
            .iter()
            .map(|sink| (sink.name.clone(), sink.quarantine_readings))
            .collect(),
        retain_delivered: config.log.retain_delivered,
        generation: (crc32fast::hash(config.to_toml().as_bytes()), env!("CARGO_PKG_VERSION")),
        sinks: config.sinks.iter().map(rules).collect(),
    }
}

/// The log is opened here first, so that one that is not ours to use is an error at start.
fn start_log(
    supervisor: &mut Supervisor,
    config: &Config,
    device: &str,
    clock: &Clock,
) -> Result<LogHandle, AppError> {
    let (handle, mailbox) = event_log::channel();
    let config = log_config(config, device);
    let mut first = match LogActor::open(config.clone(), clock.clone()) {
        Ok(actor) => Some(actor),
        Err(error) if error.is_weather() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(actor) = &mut first {
        // Whoever is started next may look at once.
        actor.publish(&mailbox);
    }
    let mut log = Some((first, config, clock.clone(), Arc::new(Mutex::new(mailbox))));
    supervisor.start(Stage::Log, "log", Place::Thread, move |pulse| {
        let (first, config, clock, mailbox) = log.take().expect("the log is started once");
        event_log::actor::run(first, config, clock, mailbox, pulse)
    });
    Ok(handle)
}

/// What the log holds to for a sink.
fn rules(sink: &Sink) -> SinkRules {
    let (name, lanes) = (sink.name.clone(), sink.pace.lanes);
    SinkRules { name, told: sink.events, best_effort: sink.best_effort, lanes }
}

/// A local port that cannot be had yet must not keep readings from being recorded.
async fn start_http(
    supervisor: &mut Supervisor,
    config: &Config,
    board: &StatusBoard,
) -> Option<SocketAddr> {
    let (listen, http) = (config.http.listen?, config.http.clone());
    let bound = LocalPort::bind(listen, &http).await;
    if let Err(error) = &bound {
        LocalPortAbsent { error }.report();
    }
    let bound = bound.ok().map(Arc::new);
    let address = bound.as_ref().map(|port| port.local_addr());
    let (board, metrics, stop) =
        (board.clone(), Metrics::install(), supervisor.stop_of(Stage::Http));
    supervisor.start(Stage::Http, "http", Place::Here, move |mut pulse| {
        let (bound, board, metrics, mut stop) =
            (bound.clone(), board.clone(), metrics.clone(), stop.clone());
        let http = http.clone();
        async move {
            let bound = match bound {
                Some(port) => Some(port),
                None => LocalPort::bind_when_free(listen, &http, &mut stop, &mut pulse)
                    .await
                    .map(Arc::new),
            };
            match bound {
                Some(port) => port.run(board, metrics, stop, pulse).await,
                None => Ok(()),
            }
        }
    });
    address
}

/// It asks the log, so it ends before it, as uploads do.
fn start_control(supervisor: &mut Supervisor, config: &Config, log: &LogHandle) {
    let (path, curator) = (event_log::control_path(&config.log.path), log.curator());
    let stop = supervisor.stop_of(Stage::Uploads);
    supervisor.start(Stage::Uploads, "control", Place::Here, move |pulse| {
        let (path, curator, stop) = (path.clone(), curator.clone(), stop.clone());
        control::run(Control { path, curator, stop, pulse })
    });
}

fn start_upload(
    supervisor: &mut Supervisor,
    sink: &Sink,
    log: &LogHandle,
    device: &str,
    clock: &Clock,
    status: watch::Sender<SinkStatus>,
) {
    let (limits, wire, timeout) = (limits(sink), Wire::default(), sink.timeout);
    let context = Context {
        device: device.to_owned(),
        sink: sink.name.clone(),
        policy: Policy::default(),
        clock: clock.clone(),
        status: status.clone(),
        appender: log.appender(),
        recoveries: Recoveries::default(),
    };
    let common = sinks::Context::new(clock.clone(), log.status());
    let connect = {
        let (sink, wire) = (sink.clone(), wire.clone());
        move |endpoint: &Endpoint, breaker| {
            stack::at_endpoint(sinks::at(endpoint, &sink, &wire, &common), breaker, timeout)
        }
    };
    let known = start_registry(supervisor, sink, &status);
    let endpoints = Endpoints::new(known, context, connect);
    let stack = stack::stack(endpoints.clone(), sink.retries, sink.pace.rate_max, &wire);
    let (name, log, clock, pace) = (sink.name.clone(), log.clone(), clock.clone(), sink.pace);
    let stop = supervisor.stop_of(Stage::Uploads);
    supervisor.start(Stage::Uploads, format!("sink {name}"), Place::Here, move |pulse| {
        let upload = Upload {
            sink: name.clone(),
            stack: stack.clone(),
            reader: log.reader(&name),
            appender: log.appender(),
            limits,
            pace,
            wire: wire.clone(),
            clock: clock.clone(),
            status: status.clone(),
            stop: stop.clone(),
            pulse,
        };
        recall::run(upload, endpoints.clone())
    });
}

/// The endpoints of a sink: those that the configuration names, or those that its registry finds.
fn start_registry(
    supervisor: &mut Supervisor,
    sink: &Sink,
    status: &watch::Sender<SinkStatus>,
) -> watch::Receiver<Vec<Endpoint>> {
    let discovered = match &sink.addresses {
        Addresses::Fixed(urls) => return watch::channel(Endpoint::in_order(urls)).1,
        Addresses::Discovered(discovered) => discovered.clone(),
    };
    let (endpoints, found) = watch::channel(Vec::new());
    let (name, status) = (sink.name.clone(), status.clone());
    let stop = supervisor.stop_of(Stage::Uploads);
    supervisor.start(Stage::Uploads, format!("endpoints {name}"), Place::Here, move |pulse| {
        registry::run(Registry {
            sink: name.clone(),
            discovered: discovered.clone(),
            endpoints: endpoints.clone(),
            status: status.subscribe(),
            stop: stop.clone(),
            pulse,
        })
    });
    found
}

/// The log counts packed bytes. Where a reading takes more, the same bound on the body means fewer
/// readings.
fn limits(sink: &Sink) -> Limits {
    let bytes = u64::try_from(sink.batch_bytes).unwrap_or(u64::MAX);
    let readings_max = match sinks::bytes_per_reading(sink) {
        None => sink.batch_readings,
        Some(each) => sink.batch_readings.min(bytes / each).max(1),
    };
    Limits { readings_max, bytes_max: sink.batch_bytes }
}

fn start_port(
    supervisor: &mut Supervisor,
    (config, alarms): (crate::config::Port, Vec<Rule>),
    log: &LogHandle,
    tails: &Tails,
    clock: &Clock,
    status: watch::Sender<PortStatus>,
) {
    let (appender, log, clock) = (log.appender(), log.status(), clock.clone());
    let tail = tails.places[&config.name].clone();
    let stop = supervisor.stop_of(Stage::Ports);
    supervisor.start(Stage::Ports, format!("port {}", config.name), Place::Here, move |pulse| {
        ingest::run(Ingest {
            config: config.clone(),
            alarms: alarms.clone(),
            appender: appender.clone(),
            log: log.clone(),
            tail: tail.clone(),
            clock: clock.clone(),
            status: status.clone(),
            stop: stop.clone(),
            pulse,
        })
    });
}

/// The alarm rules of a port.
fn alarms(config: &Config, port: &str) -> Vec<Rule> {
    let own = config.alarms.iter().filter(|alarm| alarm.port == port);
    own.map(|alarm| alarm.rule.clone()).collect()
}

fn port_status(port: &crate::config::Port) -> watch::Sender<PortStatus> {
    watch::channel(PortStatus::new(&port.name, &port.path.display().to_string())).0
}

fn sink_status(sink: &Sink) -> watch::Sender<SinkStatus> {
    watch::channel(SinkStatus::new(&sink.name, &sink.addresses.main())).0
}
