//! Measures the log alone: the real log in this process, driven through its handles.
//!
//! ```text
//!  700 bytes ──────────────▶ a file, fdatasync      the best that the storage can do
//!  W1 readings ─Appender▶ LogActor ─▶ a new log     the log on that storage
//!                            └ measured: status, Wear
//! ```
//!
//! The log and its feeder share one thread, so that a rate is that of one core.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outstation_codec::{Lane, Readings};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::BenchError;
use super::w1::{Sensors, W1Readings};
use crate::clock::Clock;
use crate::config::EventLog;
use crate::domain::model::ledger::Intake;
use crate::event_log::actor::LogActor;
use crate::event_log::settings::{LogConfig, SinkRules};
use crate::event_log::store::error::StorageError;
use crate::event_log::{
    self, Acknowledgement, Append, Ask, Limits, LogClosed, LogHandle, LogStatus, Wear,
};
use crate::supervisor::heartbeat::Heartbeat;

/// The size of the raw writes that measure the storage itself: a second of W1 takes this many bytes.
const RAW_BYTES: usize = 700;
const RAW_FILE_BYTES: u64 = 1 << 20;
const RAW_WRITES_MAX: usize = 2_000;
/// The number of readings in a second of W1, and in a second of W1-slow.
const SECOND: usize = 1_000;
const SLOW_SECOND: usize = 10;
/// The length of W1-slow: half an hour with a commit a second.
const SLOW_SECONDS: usize = 1_800;
/// The number of different seconds that are appended again and again, where making new readings would take
/// part in the measurement.
const POOL: usize = 100;
/// The size limit of the log, which is enough for all readings of a run.
const LOG_BYTES_MAX: u64 = 4 << 30;
const PORT: &str = "bench";
const SINK: &str = "nobody";

/// The results of one workload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StorageFigures {
    pub workload: &'static str,
    pub readings: u64,
    pub wall_s: f64,
    pub commits: u64,
    pub commits_per_s: f64,
    pub readings_per_s: f64,
    /// The time from the append until the readings are stored, or of a raw write with its sync.
    pub latency_ms: Option<Latency>,
    pub syncs_per_commit: f64,
    /// Bytes of the segment bodies as they were committed first.
    pub body_bytes_per_reading: f64,
    /// Bytes of the segment bodies at the end, when small segments were merged.
    pub kept_bytes_per_reading: Option<f64>,
    /// Bytes of the pages used in the file.
    pub file_bytes_per_reading: f64,
    /// Bytes written by commits and checkpoints.
    pub written_bytes_per_reading: f64,
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = |percent: usize| times[last * percent / 100].as_secs_f64() * 1000.0;
        Some(Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) })
    }
}

/// Measures the storage itself: writes and syncs as many bytes as a second of W1 takes, into a file that
/// has its space already.
pub fn raw(folder: &Path, length: Duration) -> Result<StorageFigures, BenchError> {
    let failed = |source| BenchError::System { operation: "write and sync a file", source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = File::create(folder.join("raw")).map_err(failed)?;
    for _ in 0..RAW_FILE_BYTES / 4096 {
        file.write_all(&[0; 4096]).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let (began, mut times, mut at) = (Instant::now(), Vec::new(), 0);
    while times.len() < RAW_WRITES_MAX && began.elapsed() < length {
        let now = Instant::now();
        file.write_all_at(&[0x55; RAW_BYTES], at).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        times.push(now.elapsed());
        at = (at + RAW_BYTES as u64) % (RAW_FILE_BYTES - RAW_BYTES as u64);
    }
    let (wall, commits) = (began.elapsed().as_secs_f64(), times.len());
    Ok(StorageFigures {
        workload: "raw",
        wall_s: wall,
        commits: commits as u64,
        commits_per_s: commits as f64 / wall,
        latency_ms: Latency::of(times),
        syncs_per_commit: 1.0,
        ..StorageFigures::default()
    })
}

/// Commits one second of W1 after another.
pub async fn seconds(folder: &Path, length: Duration) -> Result<StorageFigures, BenchError> {
    let mut run = Run::start(folder, SECOND).await?;
    let mut samples = W1Readings::new();
    while run.began.elapsed() < length {
        run.commit(run.sensors.readings(samples.by_ref().take(SECOND))).await?;
    }
    run.end("W1, a second per commit").await
}

/// Appends as fast as the log takes it, with as many readings per commit as the daemon's default.
pub async fn full_groups(folder: &Path, length: Duration) -> Result<StorageFigures, BenchError> {
    let commit_readings = EventLog::default().commit_readings;
    let mut run = Run::start(folder, commit_readings).await?;
    let mut samples = W1Readings::new();
    let pool: Vec<Readings> =
        (0..POOL).map(|_| run.sensors.readings(samples.by_ref().take(SECOND))).collect();
    let mut pool = pool.iter().cycle();
    run.began = Instant::now();
    while run.began.elapsed() < length {
        for readings in pool.by_ref().take(commit_readings.div_ceil(SECOND)) {
            run.append(readings.clone()).await?;
        }
    }
    run.end("W1, full commits").await
}

/// Plays a slow site in an outage: ten readings per commit, which the log merges over time.
pub async fn slow(folder: &Path) -> Result<StorageFigures, BenchError> {
    let mut run = Run::start(folder, SLOW_SECOND).await?;
    let mut samples = W1Readings::slow();
    for _ in 0..SLOW_SECONDS {
        run.commit(run.sensors.readings(samples.by_ref().take(SLOW_SECOND))).await?;
    }
    run.end("W1-slow, a second per commit").await
}

/// A log with its feeder.
struct Run {
    log: LogHandle,
    running: JoinSet<Result<(), StorageError>>,
    sensors: Sensors,
    sent: u64,
    times: Vec<Duration>,
    began: Instant,
    before: LogStatus,
}

impl Run {
    /// Opens a log that commits as soon as it has this many readings.
    async fn start(folder: &Path, commit_readings: usize) -> Result<Self, BenchError> {
        let log = EventLog {
            path: folder.join("log.db"),
            commit_readings,
            max_bytes: LOG_BYTES_MAX,
            retain_delivered: true,
            ..EventLog::default()
        };
        // All readings are pending for one sink, so that none is removed from the log.
        let sinks = vec![SinkRules::waited_for(SINK, false)];
        let config = LogConfig { sinks, ..LogConfig::new(&log, "bench") };
        let actor = LogActor::open(config, Clock::system())?;
        let (log, mailbox) = event_log::channel();
        let mut running = JoinSet::new();
        running.spawn(actor.run(Arc::new(Mutex::new(mailbox)), Heartbeat::unwatched()));
        let mut status = log.status();
        let before = status.wait_for(|status| status.accepting).await.map_err(|_| LogClosed)?;
        let before = before.clone();
        let sensors = Sensors::new(PORT);
        Ok(Self {
            log,
            running,
            sensors,
            sent: 0,
            times: Vec::new(),
            began: Instant::now(),
            before,
        })
    }

    async fn append(&mut self, readings: Readings) -> Result<(), LogClosed> {
        let count = readings.len() as u64;
        self.sent += count;
        let intake = Intake { accepted: count, frames: count, ..Intake::default() };
        let append = Append { port: PORT.into(), readings, intake, ..Append::default() };
        self.log.appender().permit().await?.send(append);
        Ok(())
    }

    async fn commit(&mut self, readings: Readings) -> Result<(), BenchError> {
        let now = Instant::now();
        self.append(readings).await?;
        self.stored().await?;
        self.times.push(now.elapsed());
        Ok(())
    }

    async fn stored(&self) -> Result<LogStatus, LogClosed> {
        let (mut status, sent) = (self.log.status(), self.sent);
        let stored = status.wait_for(|status| status.head >= sent).await;
        stored.map(|status| status.clone()).map_err(|_| LogClosed)
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    async fn end(mut self, workload: &'static str) -> Result<StorageFigures, BenchError> {
        let after = self.stored().await?;
        let wall = self.began.elapsed().as_secs_f64();
        let kept = self.kept().await?;
        drop(self.log);
        while let Some(ended) = self.running.join_next().await {
            ended.map_err(|_| LogClosed)??;
        }
        let wear = |get: fn(&Wear) -> u64| get(&after.wear) - get(&self.before.wear);
        let commits = wear(|wear| wear.commits);
        let per_reading = |bytes: u64| bytes as f64 / self.sent as f64;
        Ok(StorageFigures {
            workload,
            readings: self.sent,
            wall_s: wall,
            commits,
            commits_per_s: commits as f64 / wall,
            readings_per_s: self.sent as f64 / wall,
            latency_ms: Latency::of(self.times),
            syncs_per_commit: wear(|wear| wear.syncs) as f64 / commits as f64,
            body_bytes_per_reading: per_reading(wear(|wear| wear.body_bytes)),
            kept_bytes_per_reading: Some(per_reading(kept)),
            file_bytes_per_reading: per_reading(
                after.disk.used_bytes.saturating_sub(self.before.disk.used_bytes),
            ),
            written_bytes_per_reading: per_reading(wear(|wear| wear.written_bytes)),
        })
    }

    /// The bytes of the segment bodies in the log, as a sink gets them. This delivers all readings.
    async fn kept(&self) -> Result<u64, LogClosed> {
        let limits = Limits { readings_max: 1 << 20, bytes_max: 16 << 20 };
        let ask = Ask { lanes: &[Lane::Live], limits };
        let (reader, mut bytes) = (self.log.reader(SINK), 0);
        while let Some(batch) = reader.next(ask).await? {
            bytes += batch.segments.iter().map(|segment| segment.body.len() as u64).sum::<u64>();
            reader.acknowledge(Acknowledgement::of(&batch)).await?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let times = (1..=101).rev().map(Duration::from_millis).collect();
        let latency = Latency::of(times).expect("some");
        assert_eq!((latency.p50, latency.p99, latency.max), (51.0, 100.0, 101.0));
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[tokio::test]
    async fn a_log_is_fed_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let figures = seconds(folder.path(), Duration::from_millis(50)).await.expect("runs");
        assert!(figures.readings >= 1000 && figures.commits >= 1, "{figures:?}");
        assert!((0.5..1.0).contains(&figures.body_bytes_per_reading), "{figures:?}");
        assert!(figures.syncs_per_commit >= 1.0, "{figures:?}");
        let raw = raw(folder.path(), Duration::from_millis(20)).expect("runs");
        assert!(raw.commits >= 1 && raw.latency_ms.is_some(), "{raw:?}");
    }
}
