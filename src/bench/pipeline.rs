//! Measures the whole pipeline under one load: idle, at a steady rate, or as fast as it can.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::BenchError;
use super::child::{Child, ProcessUsage};
use super::machine::BlockDevice;
use super::w1::{self, W1Lines};
use crate::demo::pty::Pty;
use crate::domain::policy::wear::Flash;
use crate::http::fetch::{self, Proof};

/// The interval at which the daemon is asked how much it has delivered. A request takes some of its CPU
/// time, but does not block the pipeline.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The interval between two groups of lines: ten lines every ten milliseconds make 1,000 readings a second.
const PACE: Duration = Duration::from_millis(10);
const LINES_PER_BEAT: usize = w1::SENSORS;
/// The time that a daemon runs before it is measured: by then the journal has its full length on the
/// device, and the events of the start are committed.
const WARM_UP: Duration = Duration::from_secs(12);
const SECONDS_PER_DAY: f64 = 86_400.0;

/// The results of one workload. Times hold for this machine at this moment; counts are comparable between
/// machines.
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
    pub log_written_bytes_per_reading: f64,
    /// Bytes charged to the daemon by the kernel, for the pages that it made dirty.
    pub device_bytes_per_reading: f64,
    /// Bytes by the counter of the block device, which includes the file system's journal and all other
    /// processes.
    pub block_device_bytes_per_reading: Option<f64>,
    pub log_commits_per_s: f64,
    pub log_syncs_per_s: f64,
    /// The wear at this load, by the bytes that the kernel charged to the daemon.
    pub charged_wear: Projected,
    /// The wear by the counter of the block device, which includes the writes of all processes.
    pub counted_wear: Option<Projected>,
    pub wire_bytes_per_reading: f64,
    pub context_switches_per_s: f64,
    pub ready_ms: f64,
}

/// The wear of the flash under a load.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Projected {
    pub gigabytes_per_day: f64,
    /// The years that [`Flash::default`] lasts; `None` if nothing is written.
    pub years: Option<f64>,
}

impl Projected {
    fn of(bytes_per_s: f64) -> Self {
        let per_day = bytes_per_s * SECONDS_PER_DAY;
        Self { gigabytes_per_day: per_day / 1e9, years: Flash::default().years(per_day) }
    }
}

/// The processes of one run.
struct Site {
    device: Option<BlockDevice>,
    pty: Pty,
    collector: Child,
    daemon: Child,
    url: String,
    ready: Duration,
}

/// The counters at the start or at the end of a measurement.
struct Mark {
    at: Instant,
    usage: ProcessUsage,
    status: Value,
    device: Option<u64>,
}

impl Mark {
    fn log(&self, name: &str) -> u64 {
        self.status["log"][name].as_u64().unwrap_or(0)
    }

    fn wire(&self) -> u64 {
        self.status["sinks"][0]["bytes"].as_u64().unwrap_or(0)
    }
}

/// Sends `readings` lines as fast as the pty takes them.
pub async fn flat_out(folder: &Path, readings: u64) -> Result<Figures, BenchError> {
    let text: String =
        W1Lines::new().take(usize::try_from(readings).unwrap_or(usize::MAX)).collect();
    let mut site = Site::start(folder).await?;
    let before = site.mark().await?;
    site.send(text.as_bytes()).await?;
    site.delivered(readings).await?;
    site.figures("flat out", readings, &before).await
}

/// Sends W1, a thousand readings a second, for the warm-up and then for `length`.
pub async fn w1(folder: &Path, length: Duration) -> Result<Figures, BenchError> {
    let mut site = Site::start(folder).await?;
    let (mut lines, mut readings) = (W1Lines::new(), 0);
    let (mut warm, began) = (None, Instant::now());
    let mut beat = interval(PACE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while began.elapsed() < WARM_UP + length {
        beat.tick().await;
        if warm.is_none() && began.elapsed() >= WARM_UP {
            warm = Some((site.mark().await?, readings));
        }
        let group: String = lines.by_ref().take(LINES_PER_BEAT).collect();
        site.send(group.as_bytes()).await?;
        readings += LINES_PER_BEAT as u64;
    }
    site.delivered(readings).await?;
    let (before, warming) = match warm {
        Some(warm) => warm,
        None => (site.mark().await?, readings),
    };
    site.figures("W1", readings - warming, &before).await
}

/// Runs a daemon to which no reading comes.
pub async fn idle(folder: &Path, length: Duration) -> Result<Figures, BenchError> {
    let site = Site::start(folder).await?;
    sleep(WARM_UP).await;
    let before = site.mark().await?;
    sleep(length).await;
    site.figures("idle", 0, &before).await
}

impl Site {
    async fn start(folder: &Path) -> Result<Self, BenchError> {
        let system = |operation| move |source| BenchError::System { operation, source };
        let pty = Pty::open().map_err(system("open a pseudo-terminal"))?;
        std::fs::create_dir_all(folder).map_err(system("create the bench folder"))?;
        let (collector, address) = Child::collector().map_err(system("start the collector"))?;
        let config = folder.join("outstation.toml");
        std::fs::write(&config, configuration(folder, pty.path(), &address))
            .map_err(system("write the configuration"))?;
        let started = Instant::now();
        let daemon = Child::daemon(folder, &config).await.map_err(system("start the daemon"))?;
        let ready = started.elapsed();
        let url = format!("http://{}", daemon.local_port().map_err(system("find the local port"))?);
        Ok(Self { device: BlockDevice::under(folder), pty, collector, daemon, url, ready })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        let sent = self.pty.send(bytes).await;
        sent.map_err(|source| BenchError::System {
            operation: "write to the pseudo-terminal",
            source,
        })
    }

    async fn mark(&self) -> Result<Mark, BenchError> {
        let device = self.device.as_ref().and_then(BlockDevice::written);
        let usage = self.daemon.usage().map_err(|source| BenchError::System {
            operation: "read /proc of the daemon",
            source,
        })?;
        let status = self.status().await?;
        Ok(Mark { at: Instant::now(), usage, status, device })
    }

    async fn status(&self) -> Result<Value, BenchError> {
        let (_, body) = fetch::get(&format!("{}/status", self.url), &Proof::default()).await?;
        serde_json::from_slice(&body)
            .map_err(|_| BenchError::Status { answer: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Waits until everything sent is delivered and acknowledged. Fails if there is no progress for 30 s.
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
        before: &Mark,
    ) -> Result<Figures, BenchError> {
        let after = self.mark().await?;
        let wall = after.at.duration_since(before.at).as_secs_f64();
        let used = after.usage.since(&before.usage);
        let log = |name| after.log(name) - before.log(name);
        let device = after.device.zip(before.device).map(|(after, before)| after - before);
        let wear = |bytes: u64| Projected::of(bytes as f64 / wall);
        let per_reading =
            |count: u64| if readings == 0 { 0.0 } else { count as f64 / readings as f64 };
        self.daemon.end();
        self.collector.end();
        Ok(Figures {
            workload,
            readings,
            wall_s: wall,
            readings_per_s: readings as f64 / wall,
            cpu_s: used.cpu.as_secs_f64(),
            cpu_s_per_million: per_reading(1_000_000) * used.cpu.as_secs_f64(),
            rss_kib: after.usage.rss_kib,
            rss_peak_kib: after.usage.rss_peak_kib,
            read_syscalls_per_thousand: 1000.0 * per_reading(used.read_calls),
            write_syscalls_per_thousand: 1000.0 * per_reading(used.write_calls),
            written_bytes_per_reading: per_reading(used.written),
            log_written_bytes_per_reading: per_reading(log("written_bytes")),
            device_bytes_per_reading: per_reading(used.device_written),
            block_device_bytes_per_reading: device.map(per_reading),
            log_commits_per_s: log("commits") as f64 / wall,
            log_syncs_per_s: log("syncs") as f64 / wall,
            charged_wear: wear(used.device_written),
            counted_wear: device.map(wear),
            wire_bytes_per_reading: per_reading(after.wire() - before.wire()),
            context_switches_per_s: used.switches as f64 / wall,
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
