//! Starts each part: this is the only file that names every concrete type.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::actors::{HTTP, port_actor, sink_actors};
use crate::clock::Clock;
use crate::config::{Addresses, Config, Port, Sink};
use crate::control::server::{self as control_server, Control};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::alarm::Rule;
use crate::event_log::actor::LogActor;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::error::StorageError;
use crate::event_log::{self, Limits, LogHandle};
use crate::http::LocalPort;
use crate::ingest::actor::{self as ingest, Ingest};
use crate::ingest::{PortStatus, tail};
use crate::sinks::connect;
use crate::status::board::StatusBoard;
use crate::status::metrics::Metrics;
use crate::supervisor::{ActorSupervisor, Executor, Stage};
use crate::telemetry::events::{LocalPortAbsent, Report};
use crate::upload::lookup::{self, EndpointLookup};
use crate::upload::stack::breaker::{Context, Recoveries};
use crate::upload::stack::endpoints::Endpoints;
use crate::upload::uploader::actor::Upload;
use crate::upload::uploader::recall;
use crate::upload::{SinkStatus, Wire, stack};

/// The values that every port and every sink is started with.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) device: String,
    pub(super) clock: Clock,
    pub(super) log: LogHandle,
}

/// Opens the log and starts its actor. The log is opened here and not in the actor, so that a log that this
/// process must not use is an error at start; after a transient failure the actor opens it later.
pub(super) fn log(
    supervisor: &mut ActorSupervisor,
    config: &LogConfig,
    clock: &Clock,
) -> Result<LogHandle, StorageError> {
    let (handle, mailbox) = event_log::channel();
    let mut first = match LogActor::open(config.clone(), clock.clone()) {
        Ok(actor) => Some(actor),
        Err(error) if error.is_transient() => None,
        Err(error) => return Err(error),
    };
    if let Some(actor) = &mut first {
        // The parts that start next may read the status at once.
        actor.publish(&mailbox);
    }
    let mut log = Some((first, config.clone(), clock.clone(), Arc::new(Mutex::new(mailbox))));
    supervisor.start(Stage::Log, "log", Executor::OwnThread, move |heartbeat, _| {
        let (first, config, clock, mailbox) = log.take().expect("the log is started once");
        event_log::actor::run(first, config, clock, mailbox, heartbeat)
    });
    Ok(handle)
}

/// Starts the local port and returns its address. A port that cannot be bound yet is reported and bound
/// later: it must not keep readings from being recorded.
pub(super) async fn http(
    supervisor: &mut ActorSupervisor,
    config: &Config,
    board: &StatusBoard,
    metrics: &Metrics,
) -> Option<SocketAddr> {
    let (listen, http) = (config.http.listen?, config.http.clone());
    let bound = LocalPort::bind(listen, &http).await;
    if let Err(error) = &bound {
        LocalPortAbsent { error }.report();
    }
    let bound = bound.ok().map(Arc::new);
    let address = bound.as_ref().map(|port| port.local_addr());
    let (board, metrics) = (board.clone(), metrics.clone());
    supervisor.start(Stage::Http, HTTP, Executor::SharedRuntime, move |mut heartbeat, mut stop| {
        let (bound, board, metrics) = (bound.clone(), board.clone(), metrics.clone());
        let http = http.clone();
        async move {
            let bound = match bound {
                Some(port) => Some(port),
                None => LocalPort::bind_when_free(listen, &http, &mut stop, &mut heartbeat)
                    .await
                    .map(Arc::new),
            };
            match bound {
                Some(port) => port.run(board, metrics, stop, heartbeat).await,
                None => Ok(()),
            }
        }
    });
    address
}

/// Starts the control socket. It sends requests to the log, so it belongs to the stage of the uploads and
/// ends before the log.
pub(super) fn control(supervisor: &mut ActorSupervisor, config: &Config, log: &LogHandle) {
    let (path, curator) = (event_log::control_path(&config.log.path), log.curator());
    supervisor.start(Stage::Uploads, "control", Executor::SharedRuntime, move |heartbeat, stop| {
        let (path, curator) = (path.clone(), curator.clone());
        control_server::run(Control { path, curator, stop, heartbeat })
    });
}

/// Starts the uploader of a sink, and the lookup of its endpoints if they are discovered.
pub(super) fn upload(
    supervisor: &mut ActorSupervisor,
    common: &Common,
    sink: &Sink,
    status: watch::Sender<SinkStatus>,
) {
    let Common { log, device, clock } = common;
    let (limits, wire, timeout) = (limits(sink), Wire::default(), sink.timeout);
    let context = Context {
        device: device.clone(),
        sink: sink.name.clone(),
        clock: clock.clone(),
        status: status.clone(),
        appender: log.appender(),
        recoveries: Recoveries::default(),
    };
    let sink_at = connect::connector(sink, &wire, clock, log.status());
    let connect =
        move |endpoint: &Endpoint, breaker| stack::at_endpoint(sink_at(endpoint), breaker, timeout);
    let known = start_registry(supervisor, sink, &status);
    let endpoints = Endpoints::new(known, context, connect);
    let stack = stack::stack(endpoints.clone(), sink.retries, sink.pace.max_rate, &wire);
    let (name, log, clock, pace) =
        (sink.name.clone(), log.clone(), clock.clone(), sink.pace.clone());
    let [actor, _] = sink_actors(&name);
    supervisor.start(Stage::Uploads, actor, Executor::SharedRuntime, move |heartbeat, stop| {
        let upload = Upload {
            sink: name.clone(),
            stack: stack.clone(),
            reader: log.reader(&name),
            appender: log.appender(),
            limits,
            pace: pace.clone(),
            wire: wire.clone(),
            clock: clock.clone(),
            status: status.clone(),
            stop,
            heartbeat,
        };
        recall::run(upload, endpoints.clone())
    });
}

/// Returns the endpoints of a sink: the configured ones, or those found by the lookup that this starts.
fn start_registry(
    supervisor: &mut ActorSupervisor,
    sink: &Sink,
    status: &watch::Sender<SinkStatus>,
) -> watch::Receiver<Vec<Endpoint>> {
    let discovered = match &sink.addresses {
        Addresses::Fixed(urls) => return watch::channel(Endpoint::in_order(urls)).1,
        Addresses::Discovered(discovered) => discovered.clone(),
    };
    let (endpoints, found) = watch::channel(Vec::new());
    let (name, status) = (sink.name.clone(), status.clone());
    let [_, actor] = sink_actors(&name);
    supervisor.start(Stage::Uploads, actor, Executor::SharedRuntime, move |heartbeat, stop| {
        lookup::run(EndpointLookup {
            sink: name.clone(),
            discovered: discovered.clone(),
            endpoints: endpoints.clone(),
            status: status.subscribe(),
            stop,
            heartbeat,
        })
    });
    found
}

/// The bounds of one batch. The log counts bytes in the packed form. If the sink's encoding takes more
/// bytes per reading, the same bound on the request body means fewer readings.
fn limits(sink: &Sink) -> Limits {
    let bytes = u64::try_from(sink.batch_bytes).unwrap_or(u64::MAX);
    let readings_max = match connect::bytes_per_reading(sink) {
        None => sink.batch_readings,
        Some(each) => sink.batch_readings.min(bytes / each).max(1),
    };
    Limits { readings_max, bytes_max: sink.batch_bytes }
}

/// Starts the actor of a port, which keeps its tail at `tail`.
pub(super) fn port(
    supervisor: &mut ActorSupervisor,
    common: &Common,
    config: &Port,
    alarms: Vec<Rule>,
    tail: tail::TailPath,
    status: watch::Sender<PortStatus>,
) {
    let (appender, log) = (common.log.appender(), common.log.status());
    let (config, clock) = (config.clone(), common.clock.clone());
    supervisor.start(
        Stage::Ports,
        port_actor(&config.name),
        Executor::SharedRuntime,
        move |heartbeat, stop| {
            ingest::run(Ingest {
                config: config.clone(),
                alarms: alarms.clone(),
                appender: appender.clone(),
                log: log.clone(),
                tail: tail.clone(),
                clock: clock.clone(),
                status: status.clone(),
                stop,
                heartbeat,
            })
        },
    );
}
