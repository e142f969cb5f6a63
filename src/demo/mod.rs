//! The demonstration: simulated sensors on pseudo-terminals, the real daemon, the reference collector, and
//! a scripted outage, in one process and one temporary folder.
//!
//! ```text
//!  sensors ─pty▶ daemon (ingest ▶ log ▶ upload) ─http▶ collector
//!                   └ local port                      └ stopped during the outage
//! ```
//!
//! At the end it compares the ledger with the readings that the sensors sent and the collector has.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::collect::{CollectError, Collector, CollectorConfig, Store, StoreError};
use crate::config::Config;
use crate::event_log::LogStatus;
use crate::status::board::StatusBoard;

pub mod pty;
mod report;
mod sensors;

use pty::Pty;
pub use report::Outcome;
use sensors::{DemoSensor, Speech};

/// The files that a demo leaves in its folder: the daemon's log and the collector's readings.
pub const DATABASES: [&str; 2] = ["log.db", "collector.db"];
/// The longest time that the drain may take after the sensors have stopped.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// The script of a demo.
#[derive(Clone, Debug)]
pub struct Script {
    pub length: Duration,
    pub sensors: usize,
    /// Readings per second and sensor.
    pub rate: u32,
    /// The start and the end of the collector's outage, from the start of the demo.
    pub outage: Option<(Duration, Duration)>,
    pub listen: SocketAddr,
    /// The folder for the log and the collector's database.
    pub folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("failed to open a pseudo-terminal; is /dev/pts mounted?")]
    Pty(#[source] io::Error),
    #[error("a simulated sensor failed to send")]
    Sensor(#[source] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the daemon ended before the demo did")]
    Early(#[source] Option<AppError>),
}

/// The state of the demo, which is reported once a second.
#[derive(Clone, Debug)]
pub struct Glimpse {
    pub elapsed: Duration,
    pub produced: u64,
    /// The readings produced in the last second.
    pub rate: u64,
    pub delivered: u64,
    pub pending: u64,
    pub breaker: &'static str,
    pub collector_up: bool,
}

/// Plays the script. `started` is called with the address of the local port, `glance` once a second with
/// the state, and `cut` stops the sensors early when it resolves.
pub async fn play(
    script: &Script,
    started: impl FnOnce(Option<SocketAddr>),
    glance: impl FnMut(Glimpse),
    cut: impl Future<Output = ()>,
) -> Result<Outcome, DemoError> {
    let store = Store::open(Some(&script.folder.join(DATABASES[1])))?;
    let collector = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &store).await?;
    let sensors = make_sensors(script)?;
    let app = App::start(config(script, &sensors, collector.local_addr()), Clock::system()).await?;
    started(app.local_addr());

    let (up, collector_up) = watch::channel(true);
    let produced = sensors.iter().map(|sensor| sensor.produced.subscribe()).collect();
    let stage = Stage { produced, board: app.board(), collector_up, began: Instant::now() };
    let (stop_app, app_stopped) = oneshot::channel::<()>();
    let never = std::future::pending::<()>;
    let running = app.run(async { drop(app_stopped.await) }, never(), std::future::pending);
    let upstream = upstream(collector, &store, script.outage, &up);
    let scene = stage.play(script, sensors, glance, cut);
    tokio::pin!(running, upstream);
    // The first of them to end ends the demo, so it does not matter where the others are dropped.
    tokio::select! {
        played = scene => played?,
        ended = &mut running => return Err(DemoError::Early(ended.err())),
        lost = &mut upstream => return Err(lost.into()),
    }
    drop(stop_app);
    tokio::select! {
        ended = &mut running => ended?,
        lost = &mut upstream => return Err(lost.into()),
    }
    let stats = store.stats().borrow().clone();
    Ok(Outcome::new(stage.produced(), &stage.board, &stats))
}

/// Runs the collector, stops it during the outage, and runs it again at the same address. Returns only with
/// an error.
async fn upstream(
    collector: Collector,
    store: &Store,
    outage: Option<(Duration, Duration)>,
    up: &watch::Sender<bool>,
) -> CollectError {
    let (address, began) = (collector.local_addr(), Instant::now());
    let Some((start, end)) = outage else {
        collector.run(std::future::pending()).await;
        return std::future::pending().await;
    };
    collector.run(sleep_until(began + start)).await;
    up.send_replace(false);
    sleep_until(began + end).await;
    match bind(address, store).await {
        Ok(collector) => {
            up.send_replace(true);
            collector.run(std::future::pending()).await;
            std::future::pending().await
        }
        Err(error) => error,
    }
}

async fn bind(listen: SocketAddr, store: &Store) -> Result<Collector, CollectError> {
    Collector::bind(CollectorConfig { listen, token: None }, store.clone()).await
}

/// The parts of a running demo that can be observed.
struct Stage {
    produced: Vec<watch::Receiver<u64>>,
    board: StatusBoard,
    collector_up: watch::Receiver<bool>,
    began: Instant,
}

impl Stage {
    fn produced(&self) -> u64 {
        self.produced.iter().map(|produced| *produced.borrow()).sum()
    }

    /// Lets the sensors send for the script's length, then waits until all readings are delivered, up to a
    /// minute.
    async fn play(
        &self,
        script: &Script,
        sensors: Vec<DemoSensor>,
        mut glance: impl FnMut(Glimpse),
        cut: impl Future<Output = ()>,
    ) -> Result<(), DemoError> {
        let (silence, silent) = watch::channel(false);
        let mut speaking = JoinSet::new();
        for sensor in sensors {
            speaking.spawn(sensor.run(silent.clone()));
        }
        let mut ticks = interval(Duration::from_secs(1));
        let act = async {
            // Both arms are cancel-safe: they only wait.
            tokio::select! {
                () = sleep_until(self.began + script.length) => {}
                () = cut => {}
            }
            silence.send_replace(true);
            // Each pty stays open until its readings have been read.
            let mut ptys = Vec::new();
            while let Some(ended) = speaking.join_next().await {
                ptys.push(
                    ended
                        .map_err(|error| DemoError::Sensor(error.into()))?
                        .map_err(DemoError::Sensor)?,
                );
            }
            drop(timeout(DRAIN_MAX, self.drained()).await);
            Ok(())
        };
        tokio::pin!(act);
        let mut before = 0;
        loop {
            // Both arms are cancel-safe: a tick is only waited for, and `act` lives on outside the loop.
            tokio::select! {
                ended = &mut act => return ended,
                _ = ticks.tick() => {
                    glance(self.glimpse(before));
                    before = self.produced();
                }
            }
        }
    }

    async fn drained(&self) {
        let (produced, mut log) = (self.produced(), self.board.log.clone());
        let drained = |log: &LogStatus| {
            log.ledger.intake.accepted >= produced
                && log.ledger.uncommitted + log.ledger.pending == 0
        };
        drop(log.wait_for(drained).await);
    }

    fn glimpse(&self, before: u64) -> Glimpse {
        let ledger = self.board.log.borrow().ledger.clone();
        let now = self.board.snapshot();
        let breaker = now.sinks.first().map_or("none", |sink| sink.breaker.name());
        Glimpse {
            elapsed: self.began.elapsed(),
            produced: self.produced(),
            rate: self.produced() - before,
            delivered: ledger.delivered,
            pending: ledger.pending,
            breaker,
            collector_up: *self.collector_up.borrow(),
        }
    }
}

/// Makes the sensors: every other one sends frames, the others lines.
fn make_sensors(script: &Script) -> Result<Vec<DemoSensor>, DemoError> {
    let make = |index: usize| {
        let speech = if index % 2 == 0 { Speech::Postcard } else { Speech::Lines };
        let pty = Pty::open().map_err(DemoError::Pty)?;
        Ok(DemoSensor { speech, pty, rate: script.rate, produced: watch::channel(0).0 })
    };
    (0..script.sensors).map(make).collect()
}

fn config(script: &Script, sensors: &[DemoSensor], collector: SocketAddr) -> Config {
    let ports = sensors.iter().enumerate().map(|(index, sensor)| port(index, sensor));
    let sink = format!(
        "[[sink]]\nname = \"collector\"\nkind = \"http\"\nurl = \"http://{collector}/v1/readings\"\n"
    );
    let text = ports.collect::<String>() + &sink;
    let mut config =
        Config::parse(&text, "the demo").expect("the demo's own configuration is sound");
    config.device.id = Some("demo".into());
    config.log.path = script.folder.join(DATABASES[0]);
    config.http.listen = Some(script.listen);
    config
}

fn port(index: usize, sensor: &DemoSensor) -> String {
    let (name, framing) = match sensor.speech {
        Speech::Postcard => (format!("mcu{index}"), "framing = \"postcard\""),
        Speech::Lines => (
            format!("text{index}"),
            "framing = \"lines\"\nformat = \"json\"\nsequence_key = \"seq\"\nline_max = 256",
        ),
    };
    let path = sensor.pty.path().display();
    format!("[[port]]\nname = \"{name}\"\npath = \"{path}\"\n{framing}\n")
}
