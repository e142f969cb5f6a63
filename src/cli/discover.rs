//! `outstation discover`: lists the outstations that announce themselves on this network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CliError;
use super::runtime::runtime;
use crate::clock::Clock;
use crate::console::{complain, say};
use crate::discovery::file_sd::{self, merge, shared_names};
use crate::discovery::{self, Outstation};

/// The file extensions from which Prometheus reads targets.
const EXTENSIONS: [&str; 3] = ["json", "yml", "yaml"];

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DiscoverArgs {
    /// Keep a file of targets for Prometheus's `file_sd_configs`; `-` prints them.
    #[arg(long, value_name = "FILE")]
    file_sd: Option<PathBuf>,
    /// How long to listen for answers.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// How long a board that does not answer stays in FILE.
    #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
    forget: Duration,
}

const AFTER_HELP: &str = "\
A board answers if its configuration has `announce = true` in [http] and a `listen` that the network
can reach. In FILE a board that does not answer stays a target, so that Prometheus tells that it is
down, and what a person added stays for good. Once a board is forgotten nobody tells that it is down:
give --forget 365d. Without a network FILE is left as it is, and this fails.";

pub(super) fn run(args: &DiscoverArgs) -> Result<(), CliError> {
    let file = args.file_sd.as_deref().filter(|file| *file != Path::new("-"));
    if let Some(file) = file.filter(|file| !is_readable_by_prometheus(file)) {
        let file = file.display();
        return Err(CliError::Usage(format!(
            "Prometheus reads no targets from `{file}`: name a file that ends in .json"
        )));
    }
    let found = runtime()?.block_on(discovery::outstations(args.wait))?;
    if found.is_empty() {
        complain(&format!(
            "no outstation answered within {}; has any `announce = true` in [http], and does this \
             network pass multicast (UDP port 5353)?",
            humantime::format_duration(args.wait)
        ));
    }
    for device in shared_names(&found) {
        complain(&format!(
            "more than one board calls itself `{device}`: give each its own `id` in [device]"
        ));
    }
    let now_s = u64::try_from(Clock::system().wall_ms() / 1000).unwrap_or(0);
    match (file, &args.file_sd) {
        (Some(file), _) => {
            let known = file_sd::read(file)?;
            file_sd::write(file, &merge(known, &found, now_s, args.forget))?;
            table(&found).iter().for_each(|line| say(line));
        }
        (None, Some(_)) => {
            let targets = merge(Vec::new(), &found, now_s, args.forget);
            say(file_sd::to_json(&targets).trim_end());
        }
        (None, None) => table(&found).iter().for_each(|line| say(line)),
    }
    Ok(())
}

fn is_readable_by_prometheus(file: &Path) -> bool {
    file.extension().is_some_and(|is| EXTENSIONS.iter().any(|extension| is == *extension))
}

fn table(found: &[Outstation]) -> Vec<String> {
    let rows = found.iter().map(|one| [one.device.clone(), one.url(), one.version.clone()]);
    let head = ["device", "metrics", "version"].map(str::to_owned);
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
    let (device, metrics) = (width(0), width(1));
    let line = |row: &[String; 3]| format!("{:device$}  {:metrics$}  {}", row[0], row[1], row[2]);
    if found.is_empty() { Vec::new() } else { rows.iter().map(line).collect() }
}
