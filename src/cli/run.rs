//! `outstation run`: runs the daemon.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::{CONFIG_PATH, LogFormatArg};
use super::runtime::{Signals, runtime};
use super::{CliError, check};
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::Config;
use crate::error_chain::error_chain;
use crate::telemetry::{self, LogFormat};

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The configuration file.
    #[arg(long, default_value = CONFIG_PATH)]
    config: PathBuf,
    /// How log records are written; overrides `telemetry.log_format`.
    #[arg(long, value_enum)]
    log_format: Option<LogFormatArg>,
}

pub(super) fn run(args: &RunArgs) -> Result<(), CliError> {
    let runtime = runtime()?;
    // The handlers are installed first of all: a signal without a handler ends the process, and SIGHUP must
    // not.
    let signals = {
        let _context = runtime.enter();
        (Signals::new()?, Signals::new()?, hangup()?)
    };
    let config = Config::load(&args.config)?;
    let format = args.log_format.map_or(config.telemetry.log_format, LogFormat::from);
    let _logging = telemetry::init(&config.telemetry.level, format)?;
    let ended = runtime.block_on(serve(config, &args.config, signals));
    // A name lookup that hangs must not delay the end of the process.
    runtime.shutdown_background();
    ended
}

async fn serve(
    config: Config,
    path: &Path,
    (mut first, mut second, mut hangup): (Signals, Signals, Signal),
) -> Result<(), CliError> {
    let app = App::start(config, Clock::system()).await.map_err(|error| match error {
        AppError::Device(error) => CliError::Device(error),
        error => CliError::App(error),
    })?;
    let hurry = async {
        second.next().await;
        second.next().await;
    };
    let news = async || {
        // Several signals in a row may count as one: the file is read after the last of them.
        hangup.recv().await;
        reload(path)
    };
    Ok(app.run(first.next(), hurry, news).await?)
}

/// Reads the configuration again. It is refused with a reason in words if `outstation check` would find a
/// fault.
fn reload(path: &Path) -> Result<Config, String> {
    let config = Config::load(path).map_err(|error| error_chain(&error))?;
    let faults = check::faults(&config);
    if faults.is_empty() { Ok(config) } else { Err(CliError::Files(faults).to_string()) }
}

fn hangup() -> Result<Signal, CliError> {
    let operation = "install a signal handler";
    signal(SignalKind::hangup()).map_err(|source| CliError::System { operation, source })
}
