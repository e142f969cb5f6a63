//! Measures the whole pipeline from outside: the real daemon and the real collector as processes
//! of their own, this one playing the sensor.
//!
//! ```text
//!  W1 lines ─pty▶ `outstation run` ─http▶ `outstation collect`
//!                     └ measured: /proc/<pid>, /status, notify socket
//! ```

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::demo::pty::Pty;
use crate::http::fetch::{self, FetchError};

pub mod child;
pub mod w1;

use child::{Child, Usage};
use w1::Lines;

/// How often the daemon is asked whether it is done. It costs it a request, not the pipeline.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// At 1,000 readings a second, lines go out in groups of ten every ten milliseconds.
const PACE: Duration = Duration::from_millis(10);
const LINES_PER_BEAT: usize = w1::SENSORS;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("failed to {operation}")]
    System { operation: &'static str, source: io::Error },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the daemon ended or answered something else than its status: {answer}")]
    Status { answer: String },
    #[error("after {waited:?} only {delivered} of {sent} readings were delivered")]
    Stuck { waited: Duration, delivered: u64, sent: u64 },
}

/// What one workload came to. Times are of this machine now; counts are comparable.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub workload: &'static str,
    pub readings: u64,
    pub wall_s: f64,
    pub readings_per_s: f64,
    pub cpu_s: f64,
    pub cpu_s_per_million: f64,
    pub rss_kib: u64,
    pub rss_peak_kib: u64,
    pub read_syscalls_per_thousand: f64,
    pub write_syscalls_per_thousand: f64,
    pub written_bytes_per_reading: f64,
    pub device_bytes_per_reading: f64,
    pub wire_bytes_per_reading: f64,
    pub context_switches_per_s: f64,
    pub ready_ms: f64,
}

/// The processes of one run.
struct Site {
    pty: Pty,
    collector: Child,
    daemon: Child,
    url: String,
    ready: Duration,
}

/// As fast as the pty takes them.
pub async fn flat_out(folder: &Path, readings: u64) -> Result<Figures, BenchError> {
    let text: String = Lines::new().take(usize::try_from(readings).unwrap_or(usize::MAX)).collect();
    let mut site = Site::start(folder).await?;
    let (before, began) = (site.daemon.usage()?, Instant::now());
    site.send(text.as_bytes()).await?;
    site.delivered(readings).await?;
    site.figures("flat out", readings, before, began).await
}

/// W1: a thousand readings a second for so long.
pub async fn w1(folder: &Path, length: Duration) -> Result<Figures, BenchError> {
    let mut site = Site::start(folder).await?;
    let (before, began) = (site.daemon.usage()?, Instant::now());
    let (mut lines, mut readings) = (Lines::new(), 0);
    let mut beat = interval(PACE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while began.elapsed() < length {
        beat.tick().await;
        let group: String = lines.by_ref().take(LINES_PER_BEAT).collect();
        site.send(group.as_bytes()).await?;
        readings += LINES_PER_BEAT as u64;
    }
    site.delivered(readings).await?;
    site.figures("W1", readings, before, began).await
}

/// Nothing arrives.
pub async fn idle(folder: &Path, length: Duration) -> Result<Figures, BenchError> {
    let site = Site::start(folder).await?;
    let (before, began) = (site.daemon.usage()?, Instant::now());
    sleep(length).await;
    site.figures("idle", 0, before, began).await
}

impl Site {
    async fn start(folder: &Path) -> Result<Self, BenchError> {
        let system = |operation| move |source| BenchError::System { operation, source };
        let pty = Pty::open().map_err(system("open a pseudo-terminal"))?;
        std::fs::create_dir_all(folder).map_err(system("create the bench folder"))?;
        let (collector, address) =
            Child::collector(folder).map_err(system("start the collector"))?;
        let config = folder.join("outstation.toml");
        std::fs::write(&config, configuration(folder, pty.path(), &address))
            .map_err(system("write the configuration"))?;
        let started = Instant::now();
        let daemon = Child::daemon(folder, &config).await.map_err(system("start the daemon"))?;
        let ready = started.elapsed();
        let url = format!("http://{}", daemon.local_port().map_err(system("find the local port"))?);
        Ok(Self { pty, collector, daemon, url, ready })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        let sent = self.pty.send(bytes).await;
        sent.map_err(|source| BenchError::System {
            operation: "write to the pseudo-terminal",
            source,
        })
    }

    async fn status(&self) -> Result<Value, BenchError> {
        let (_, body) = fetch::get(&format!("{}/status", self.url)).await?;
        serde_json::from_slice(&body)
            .map_err(|_| BenchError::Status { answer: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Waits until everything sent was delivered and acknowledged.
    async fn delivered(&self, sent: u64) -> Result<(), BenchError> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let status = self.status().await?;
            let delivered = status["ledger"]["delivered"].as_u64().unwrap_or(0);
            if delivered == sent {
                return Ok(());
            }
            if delivered != last {
                (last, moved) = (delivered, Instant::now());
            }
            if moved.elapsed() > Duration::from_secs(30) {
                return Err(BenchError::Stuck { waited: moved.elapsed(), delivered, sent });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    async fn figures(
        mut self,
        workload: &'static str,
        readings: u64,
        before: Usage,
        began: Instant,
    ) -> Result<Figures, BenchError> {
        let (wall, after) = (began.elapsed(), self.daemon.usage()?);
        let status = self.status().await?;
        let wire = status["sinks"][0]["bytes"].as_u64().unwrap_or(0);
        let used = after.since(&before);
        let per_reading =
            |count: u64| if readings == 0 { 0.0 } else { count as f64 / readings as f64 };
        self.daemon.end();
        self.collector.end();
        Ok(Figures {
            workload,
            readings,
            wall_s: wall.as_secs_f64(),
            readings_per_s: readings as f64 / wall.as_secs_f64(),
            cpu_s: used.cpu.as_secs_f64(),
            cpu_s_per_million: per_reading(1_000_000) * used.cpu.as_secs_f64(),
            rss_kib: after.rss_kib,
            rss_peak_kib: after.rss_peak_kib,
            read_syscalls_per_thousand: 1000.0 * per_reading(used.read_calls),
            write_syscalls_per_thousand: 1000.0 * per_reading(used.write_calls),
            written_bytes_per_reading: per_reading(used.written),
            device_bytes_per_reading: per_reading(used.device_written),
            wire_bytes_per_reading: per_reading(wire),
            context_switches_per_s: used.switches as f64 / wall.as_secs_f64(),
            ready_ms: self.ready.as_secs_f64() * 1000.0,
        })
    }
}

fn configuration(folder: &Path, pty: &Path, collector: &str) -> String {
    format!(
        "[device]\nid = \"bench\"\n[log]\npath = \"{}/log.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [[port]]\nname = \"w1\"\npath = \"{}\"\nframing = \"lines\"\nformat = \"json\"\n\
         sensor_key = \"sensor\"\ntime_key = \"ts\"\ntime_unit = \"ms\"\nsequence_key = \"seq\"\n\
         [[sink]]\nname = \"collector\"\nkind = \"http\"\nurl = \"http://{collector}/v1/readings\"\n",
        folder.display(),
        pty.display(),
    )
}
