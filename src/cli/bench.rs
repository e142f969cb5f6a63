//! `outstation bench`: measures the whole pipeline, and the log alone, on this machine, and prints tables
//! to paste into a report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::CliError;
use super::runtime::runtime;
use crate::bench::machine::Machine;
use crate::bench::storage::{self, Latency, StorageFigures};
use crate::bench::{self, BenchError, Figures};
use crate::clock::Clock;
use crate::console::{complain, say};

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Which workload to run.
    #[arg(long, value_enum, default_value = "all")]
    workload: Workload,
    /// Readings of the flat-out workload.
    #[arg(long, default_value_t = 2_000_000)]
    readings: u64,
    /// Length of idling and of W1 (after twelve seconds of warming up), and of each part of storage.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A folder on the storage to measure; the default is the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Workload {
    /// Ten sensors whose lines are sent as fast as the pty takes them.
    FlatOut,
    /// Ten sensors with 100 readings a second each.
    W1,
    /// A daemon to which no reading comes.
    Idle,
    /// The log alone, and the speed of the storage under it.
    Storage,
    All,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    pipeline: Vec<Figures>,
    storage: Vec<StorageFigures>,
}

pub(super) fn run(args: &BenchArgs) -> Result<(), CliError> {
    // The files go into a new folder inside the given one, which is removed in the end.
    let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("outstation-bench-{:016x}", Clock::entropy()));
    let measured = runtime()?.block_on(async {
        let pipeline = pipeline(args, &folder).await?;
        let storage = if args.wants(Workload::Storage) {
            log_alone(args, &folder).await?
        } else {
            Vec::new()
        };
        Ok::<_, BenchError>((pipeline, storage))
    });
    drop(std::fs::remove_dir_all(&folder));
    let (pipeline, storage) = measured?;
    let (version, machine) = (env!("CARGO_PKG_VERSION"), Machine::of(&parent));
    let report = Report { version, machine, pipeline, storage };
    if args.json {
        say(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        report.lines().iter().for_each(|line| say(line));
    }
    Ok(())
}

impl BenchArgs {
    fn wants(&self, workload: Workload) -> bool {
        self.workload == workload || self.workload == Workload::All
    }
}

async fn pipeline(args: &BenchArgs, folder: &Path) -> Result<Vec<Figures>, BenchError> {
    let length = Duration::from_secs(args.seconds);
    let mut all = Vec::new();
    if args.wants(Workload::Idle) {
        complain("idle…");
        all.push(bench::idle(&folder.join("idle"), length).await?);
    }
    if args.wants(Workload::W1) {
        complain("W1…");
        all.push(bench::w1(&folder.join("w1"), length).await?);
    }
    if args.wants(Workload::FlatOut) {
        complain("flat out…");
        all.push(bench::flat_out(&folder.join("flat-out"), args.readings).await?);
    }
    Ok(all)
}

async fn log_alone(args: &BenchArgs, folder: &Path) -> Result<Vec<StorageFigures>, BenchError> {
    let length = Duration::from_secs(args.seconds);
    complain("storage: raw syncs…");
    let raw = storage::raw(folder, length)?;
    complain("storage: W1, a second per commit…");
    let seconds = storage::seconds(&folder.join("seconds"), length).await?;
    complain("storage: W1-slow, a second per commit…");
    let slow = storage::slow(&folder.join("slow")).await?;
    complain("storage: W1, full commits…");
    let full = storage::full_groups(&folder.join("full"), length).await?;
    Ok(vec![raw, seconds, slow, full])
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("outstation {}, {}", self.version, self.machine.line())];
        if !self.pipeline.is_empty() {
            lines.push(String::new());
            lines.extend(table("pipeline", &self.pipeline, |f| f.workload, &PIPELINE));
        }
        if !self.storage.is_empty() {
            lines.push(String::new());
            lines.extend(table("the log alone", &self.storage, |f| f.workload, &STORAGE));
        }
        lines
    }
}

/// The label of a row, and the function that gives its cell.
type Row<F> = (&'static str, fn(&F) -> String);

const PIPELINE: [Row<Figures>; 21] = [
    ("readings", |f| f.readings.to_string()),
    ("readings/s, end to end", |f| format!("{:.0}", f.readings_per_s)),
    ("CPU, s", |f| format!("{:.2}", f.cpu_s)),
    ("CPU, s per million", |f| format!("{:.2}", f.cpu_s_per_million)),
    ("resident, KiB", |f| f.rss_kib.to_string()),
    ("resident at most, KiB", |f| f.rss_peak_kib.to_string()),
    ("read calls per 1,000", |f| format!("{:.1}", f.read_syscalls_per_thousand)),
    ("write calls per 1,000", |f| format!("{:.1}", f.write_syscalls_per_thousand)),
    ("bytes written per reading", |f| format!("{:.2}", f.written_bytes_per_reading)),
    ("of these by the log", |f| format!("{:.2}", f.log_written_bytes_per_reading)),
    ("bytes to the device per reading, charged", |f| format!("{:.2}", f.device_bytes_per_reading)),
    ("as the device counts, everybody's", |f| or_none(f.block_device_bytes_per_reading, 2)),
    ("commits/s", |f| format!("{:.2}", f.log_commits_per_s)),
    ("syncs/s", |f| format!("{:.2}", f.log_syncs_per_s)),
    ("wear, GB a day, charged", |f| format!("{:.2}", f.charged_wear.gigabytes_per_day)),
    ("so an 8 GB card of 3,000 cycles lasts, years", |f| or_none(f.charged_wear.years, 0)),
    ("wear, GB a day, as the device counts", |f| {
        or_none(f.counted_wear.map(|wear| wear.gigabytes_per_day), 2)
    }),
    ("so it lasts, years", |f| or_none(f.counted_wear.and_then(|wear| wear.years), 0)),
    ("body bytes on the wire per reading", |f| format!("{:.2}", f.wire_bytes_per_reading)),
    ("context switches/s", |f| format!("{:.1}", f.context_switches_per_s)),
    ("start to ready, ms", |f| format!("{:.1}", f.ready_ms)),
];

const STORAGE: [Row<StorageFigures>; 13] = [
    ("readings", |f| of_readings(f, f.readings as f64, 0)),
    ("commits", |f| f.commits.to_string()),
    ("commits/s", |f| format!("{:.0}", f.commits_per_s)),
    ("readings/s", |f| of_readings(f, f.readings_per_s, 0)),
    ("commit and sync, ms: p50", |f| latency(f, |l| l.p50)),
    ("p90", |f| latency(f, |l| l.p90)),
    ("p99", |f| latency(f, |l| l.p99)),
    ("max", |f| latency(f, |l| l.max)),
    ("syncs per commit", |f| format!("{:.3}", f.syncs_per_commit)),
    ("bytes per reading, as committed", |f| of_readings(f, f.body_bytes_per_reading, 2)),
    ("as kept, small segments merged", |f| or_none(f.kept_bytes_per_reading, 2)),
    ("in the file", |f| of_readings(f, f.file_bytes_per_reading, 2)),
    ("written by commits and checkpoints", |f| of_readings(f, f.written_bytes_per_reading, 2)),
];

fn latency(figures: &StorageFigures, which: fn(&Latency) -> f64) -> String {
    or_none(figures.latency_ms.as_ref().map(which), 2)
}

fn of_readings(figures: &StorageFigures, value: f64, digits: usize) -> String {
    or_none((figures.readings > 0).then_some(value), digits)
}

fn or_none(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |value| format!("{value:.digits$}"))
}

fn table<F>(name: &str, all: &[F], title: fn(&F) -> &'static str, rows: &[Row<F>]) -> Vec<String> {
    let cells = |cell: &dyn Fn(&F) -> String| -> String {
        all.iter().map(|figures| format!(" {} |", cell(figures))).collect()
    };
    let head = cells(&|figures| title(figures).to_owned());
    let mut lines = vec![format!("| {name} |{head}"), format!("|---|{}", "---|".repeat(all.len()))];
    lines.extend(rows.iter().map(|(row, get)| format!("| {row} |{}", cells(&|f| get(f)))));
    lines
}
