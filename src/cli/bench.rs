//! `outstation bench`: the whole pipeline on this machine, as a table to paste into a report.

use std::path::PathBuf;
use std::time::Duration;

use super::{CliError, complain, runtime, say};
use crate::bench::{self, BenchError, Figures};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which workload to run.
    #[arg(long, value_enum, default_value = "all")]
    workload: Workload,
    /// Readings of the flat-out workload.
    #[arg(long, default_value_t = 2_000_000)]
    readings: u64,
    /// Length of W1 and of idling.
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
    /// W1's lines as fast as the pty takes them.
    FlatOut,
    /// Ten sensors, 100 readings a second each.
    W1,
    /// Nothing arrives.
    Idle,
    All,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    // A folder of our own inside the given one: it is removed in the end.
    let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("outstation-bench-{:016x}", Clock::entropy()));
    let length = Duration::from_secs(args.seconds);
    let wanted = |workload| args.workload == workload || args.workload == Workload::All;
    let measured = runtime()?.block_on(async {
        let mut all = Vec::new();
        if wanted(Workload::Idle) {
            complain("idle…");
            all.push(bench::idle(&folder.join("idle"), length).await?);
        }
        if wanted(Workload::W1) {
            complain("W1…");
            all.push(bench::w1(&folder.join("w1"), length).await?);
        }
        if wanted(Workload::FlatOut) {
            complain("flat out…");
            all.push(bench::flat_out(&folder.join("flat-out"), args.readings).await?);
        }
        Ok::<_, BenchError>(all)
    });
    drop(std::fs::remove_dir_all(&folder));
    let measured = measured?;
    if args.json {
        say(&serde_json::to_string_pretty(&measured).unwrap_or_default());
    } else {
        table(&measured).iter().for_each(|line| say(line));
    }
    Ok(())
}

fn table(all: &[Figures]) -> Vec<String> {
    type Get = fn(&Figures) -> String;
    let rows: [(&str, Get); 13] = [
        ("readings", |f| f.readings.to_string()),
        ("readings/s, end to end", |f| format!("{:.0}", f.readings_per_s)),
        ("CPU, s", |f| format!("{:.2}", f.cpu_s)),
        ("CPU, s per million", |f| format!("{:.2}", f.cpu_s_per_million)),
        ("resident, KiB", |f| f.rss_kib.to_string()),
        ("resident at most, KiB", |f| f.rss_peak_kib.to_string()),
        ("read calls per 1,000", |f| format!("{:.1}", f.read_syscalls_per_thousand)),
        ("write calls per 1,000", |f| format!("{:.1}", f.write_syscalls_per_thousand)),
        ("bytes written per reading", |f| format!("{:.2}", f.written_bytes_per_reading)),
        ("bytes to the device per reading", |f| format!("{:.2}", f.device_bytes_per_reading)),
        ("body bytes on the wire per reading", |f| format!("{:.2}", f.wire_bytes_per_reading)),
        ("context switches/s", |f| format!("{:.1}", f.context_switches_per_s)),
        ("start to ready, ms", |f| format!("{:.1}", f.ready_ms)),
    ];
    let head = all.iter().map(|figures| format!(" {} |", figures.workload)).collect::<String>();
    let mut lines = vec![format!("| |{head}"), format!("|---|{}", "---|".repeat(all.len()))];
    for (name, get) in rows {
        let cells: String = all.iter().map(|figures| format!(" {} |", get(figures))).collect();
        lines.push(format!("| {name} |{cells}"));
    }
    lines
}
