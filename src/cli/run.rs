//! `outstation run`: the daemon.

use std::path::PathBuf;

use super::{CONFIG_PATH, CliError, LogFormatArg, Signals, runtime};
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, default_value = CONFIG_PATH)]
    config: PathBuf,
    /// How log records are written; overrides `telemetry.log_format`.
    #[arg(long, value_enum)]
    log_format: Option<LogFormatArg>,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let config = Config::load(&args.config)?;
    let format = args.log_format.map_or(config.telemetry.log_format, LogFormat::from);
    let _logging = telemetry::init(&config.telemetry.level, format)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(config));
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(config: Config) -> Result<(), CliError> {
    let (mut first, mut second) = (Signals::new()?, Signals::new()?);
    let app = App::start(config, Clock::system()).await.map_err(|error| match error {
        AppError::Device(error) => CliError::Device(error),
        error => CliError::App(error),
    })?;
    let hurry = async {
        second.next().await;
        second.next().await;
    };
    Ok(app.run(first.next(), hurry).await?)
}
