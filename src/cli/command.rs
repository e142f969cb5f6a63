//! The table of commands, and the dispatch to the code of each.

use clap::{Parser, Subcommand};

use super::{
    CliError, bench, check, collect, demo, discover, log, quarantine, run as daemon, status,
};

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
    Run(daemon::RunArgs),
    /// Check a configuration: every error at once, then the configuration in effect.
    Check(check::CheckArgs),
    /// Play a whole site on this machine: simulated sensors, daemon, collector, an outage.
    Demo(demo::DemoArgs),
    /// Receive the readings that outstations send and keep them in SQLite: the reference receiver.
    Collect(collect::CollectArgs),
    /// Show the status of a running daemon.
    Status(status::StatusArgs),
    /// List the outstations on this network, for a person or for Prometheus.
    Discover(discover::DiscoverArgs),
    /// Inspect the log: show its content, check it, export readings. Works beside a running daemon.
    Log(log::LogArgs),
    /// See the readings that sinks refuse for good, and offer them again or drop them.
    Quarantine(quarantine::QuarantineArgs),
    /// Measure the whole pipeline on this machine.
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete in.
        shell: clap_complete::Shell,
    },
}

/// Runs the chosen command.
pub fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Run(args) => daemon::run(&args),
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
