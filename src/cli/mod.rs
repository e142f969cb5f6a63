//! The command line: one file per command.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::app::AppError;
use crate::collect::{CollectError, StoreError};
use crate::config::ConfigError;
use crate::credentials::file::SetupError;
use crate::demo::DemoError;
use crate::device::DeviceError;
use crate::discovery::DiscoveryError;
use crate::discovery::mdns::MdnsError;
use crate::inspect::InspectError;
use crate::telemetry::{LogFormat, TelemetryError};

mod bench;
mod check;
mod collect;
mod demo;
mod discover;
mod log;
mod quarantine;
mod run;
mod status;

/// Where the package puts the configuration.
const CONFIG_PATH: &str = "/etc/outstation/outstation.toml";

/// Telemetry daemon for ARM Linux boards: reads serial sensors, keeps every reading in a durable
/// log, and delivers the log upstream whenever the link allows, exactly accounted for.
#[derive(Debug, Parser)]
#[command(name = "outstation", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it without hardware:   outstation demo
Check a configuration:     outstation check --config outstation.toml
See what a daemon does:    outstation status
See what its log holds:    outstation log show --follow
See what sinks refuse:     outstation quarantine list
Find boards on a network:  outstation discover

Exit codes: 0 clean, 64 wrong usage, 78 wrong configuration, 1 anything else.
OUTSTATION_LOG sets the log level, for example `debug` or `info,outstation::upload=debug`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT.
    Run(run::Args),
    /// Check a configuration: every error at once, then the configuration in effect.
    Check(check::Args),
    /// Play a whole site on this machine: simulated sensors, daemon, collector, an outage.
    Demo(demo::Args),
    /// Receive what outstations send and keep it in SQLite: the reference receiver.
    Collect(collect::Args),
    /// Show what a running daemon says of itself.
    Status(status::Args),
    /// List the outstations on this network, for a person or for Prometheus.
    Discover(discover::Args),
    /// Look into the log: what is in it, is it sound, get readings out. Works beside a daemon.
    Log(log::Args),
    /// See what sinks refuse for good, and offer it again or drop it.
    Quarantine(quarantine::Args),
    /// Measure the whole pipeline on this machine.
    Bench(bench::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete in.
        shell: clap_complete::Shell,
    },
}

/// How log records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormatArg {
    /// journald when started by systemd, otherwise text on stderr.
    Auto,
    Journald,
    Text,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Auto => Self::Auto,
            LogFormatArg::Journald => Self::Journald,
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}; see `outstation help`")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the configuration is well formed, but:\n  {}", .0.join("\n  "))]
    Files(Vec<String>),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("failed to announce the collector on the local network")]
    Announce(#[source] MdnsError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Status(#[from] status::StatusError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Quarantine(#[from] quarantine::QuarantineError),
    #[error(transparent)]
    Bench(#[from] crate::bench::BenchError),
    #[error("the ledger does not balance")]
    Unbalanced,
    #[error("failed to {operation} `{}`", .path.display())]
    File { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("failed to {operation}")]
    System { operation: &'static str, source: std::io::Error },
}

/// Runs the chosen command.
pub fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Discover(args) => discover::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Quarantine(args) => quarantine::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "outstation", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// A line for whoever called us. A closed pipe (`outstation status | head`) is no error.
fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// A line about what went wrong, or about progress, beside the output.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// All I/O on this thread: a field board has better uses for its cores.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::System { operation: "start the runtime", source })
}

/// The first and the second wish to end: SIGTERM or SIGINT.
#[derive(Debug)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let install = |kind| {
            signal(kind).map_err(|source| CliError::System {
                operation: "install a signal handler",
                source,
            })
        };
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal. Cancel-safe.
    async fn next(&mut self) {
        // Cancel-safe arms: a signal is only taken when it resolves.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
