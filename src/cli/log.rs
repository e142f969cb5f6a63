//! `outstation log`: shows the content of the log, beside the daemon or without one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use outstation_codec::CLOCK_SET_AFTER_MS;

use super::CliError;
use super::arguments::CONFIG_PATH;
use super::runtime::{Signals, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::console::{complain, say};
use crate::domain::policy::wear::{Flash, Load};
use crate::inspect::export::{self, Export};
use crate::inspect::lines::OutputFormat;
use crate::inspect::readings::Selection;
use crate::inspect::salvage::{self, Salvage};
use crate::inspect::show::{self, Show};
use crate::inspect::words::{self, Since};
use crate::inspect::{Subject, UNKNOWN_DEVICE, stat, verify};

#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the content of the log, its size on disk, and how long its space and the flash will last.
    Stat(StatArgs),
    /// Print readings, or events with --events, in the order of their numbers.
    Show(ShowArgs),
    /// Check every row against its checksum and the books against the rows; exit code 1 if anything
    /// is wrong.
    Verify(VerifyArgs),
    /// Write readings to a file.
    Export(ExportArgs),
    /// Write the readings that are left in a damaged log, such as the `log.db.damaged` that a daemon set
    /// aside.
    Salvage(SalvageArgs),
}

/// The choice of a log.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The configuration that names the log.
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
    config: PathBuf,
    /// A log itself, such as a copy; no configuration is read.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    log: Option<PathBuf>,
}

impl Which {
    /// The log to inspect. `device` names the device in the output if no configuration is read.
    pub(super) fn subject(&self, device: Option<&String>) -> Result<Subject, CliError> {
        match &self.log {
            Some(path) => Ok(Subject::named(path.clone(), device.cloned())),
            None => Ok(Subject::configured(&Config::load(&self.config)?)?),
        }
    }
}

/// The flash that the log is stored on.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct FlashArgs {
    /// Size of the flash, for the estimate of its life.
    #[arg(long, value_name = "SIZE", default_value = "8GB", value_parser = words::parse_bytes)]
    flash_size: u64,
    /// How often each of its cells can be written; 3,000 is typical of a cheap eMMC.
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..))]
    flash_cycles: u32,
}

impl FlashArgs {
    fn flash(self) -> Flash {
        Flash { bytes: self.flash_size, cycles: self.flash_cycles }
    }

    /// The wear of the flash as a sentence, at one commit per interval, without the readings in them.
    pub(super) fn of_commits(self, interval: Duration) -> String {
        words::wear(Load::of_commits(interval.as_secs_f64()), self.flash(), interval, true)
    }
}

#[derive(Debug, clap::Args)]
struct StatArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    flash: FlashArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Name of the device in JSON lines, with --log.
    #[arg(long, value_name = "ID", requires = "log")]
    device: Option<String>,
    /// Print the operational events instead.
    #[arg(long)]
    events: bool,
    /// Only from this time on: 10m, 2h, or an RFC 3339 date. Readings without a date are printed too.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    since: Option<Since>,
    /// Only readings of this sensor.
    #[arg(long, value_name = "NAME", conflicts_with = "events")]
    sensor: Option<String>,
    /// Only readings or events of this port.
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Only the newest N.
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    /// Go on with new readings until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Format of the output.
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// Name of the device in JSON lines, with --log.
    #[arg(long, value_name = "ID", requires = "log")]
    device: Option<String>,
    /// The file to write; `-` is standard output.
    file: PathBuf,
    /// Format of the output.
    #[arg(long, value_enum, default_value = "json")]
    format: OutputFormat,
    /// Only readings that some sink does not have yet.
    #[arg(long)]
    pending: bool,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct SalvageArgs {
    /// The damaged log; its `-wal` is read from beside it. Neither file is written to.
    file: PathBuf,
    /// A file, or the folder to create one in; without it, standard output.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Format of the output.
    #[arg(long, value_enum, default_value = "json")]
    format: OutputFormat,
    /// Name of the device in JSON lines.
    #[arg(long, value_name = "ID", default_value = UNKNOWN_DEVICE)]
    device: String,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &LogArgs) -> Result<(), CliError> {
    let done = match &args.command {
        Command::Stat(args) => stat(args),
        Command::Show(args) => show(args),
        Command::Verify(args) => verify(args),
        Command::Export(args) => export(args),
        Command::Salvage(args) => salvage(args),
    };
    match done {
        Err(CliError::Inspect(error)) if error.is_enough() => Ok(()),
        done => done,
    }
}

fn stat(args: &StatArgs) -> Result<(), CliError> {
    let subject = args.which.subject(None)?;
    let stat = stat::stat(&subject, args.flash.flash(), &Clock::system())?;
    tell(args.json, &stat, || stat.lines());
    Ok(())
}

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let subject = args.which.subject(args.device.as_ref())?;
    let selection = Selection {
        since_ms: args.since.map(since_ms).transpose()?,
        port: args.port.clone(),
        sensor: args.sensor.clone(),
        delivered: None,
    };
    let (events, limit, format) = (args.events, args.limit, args.format);
    let wanted = Show { events, selection, limit, format };
    if !args.follow {
        return Ok(show::show(&subject, &wanted)?);
    }
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        Ok(show::follow(&subject, &wanted, signals.next()).await?)
    })
}

fn since_ms(since: Since) -> Result<i64, CliError> {
    let now = Clock::system().wall_ms();
    if matches!(since, Since::Ago(_)) && now < CLOCK_SET_AFTER_MS {
        complain("the clock of this machine is not set: `--since` counts from its wrong date");
    }
    Ok(since.ms(now))
}

fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let verdict = verify::verify(&args.which.subject(None)?)?;
    tell(args.json, &verdict, || verdict.lines());
    Ok(verdict.outcome()?)
}

fn export(args: &ExportArgs) -> Result<(), CliError> {
    let subject = args.which.subject(args.device.as_ref())?;
    let to = export::target(&args.file);
    let wanted = Export { to, format: args.format, pending: args.pending, replace: args.force };
    let count = export::export(&subject, &wanted)?;
    complain(&format!("{count} readings written"));
    Ok(())
}

fn salvage(args: &SalvageArgs) -> Result<(), CliError> {
    let wanted = Salvage {
        from: args.file.clone(),
        to: args.output.clone(),
        device: args.device.clone(),
        format: args.format,
        replace: args.force,
    };
    let found = salvage::salvage(&wanted)?;
    found.lines(&args.file).iter().for_each(|line| complain(line));
    Ok(())
}

fn tell(json: bool, what: &impl serde::Serialize, lines: impl FnOnce() -> Vec<String>) {
    if json {
        say(&serde_json::to_string_pretty(what).unwrap_or_default());
    } else {
        lines().iter().for_each(|line| say(line));
    }
}
