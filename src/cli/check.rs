//! `outstation check`: checks a configuration and prints the settings in effect.

use std::path::PathBuf;

use super::CliError;
use super::arguments::CONFIG_PATH;
use super::log::FlashArgs;
use crate::config::{self, Config};
use crate::console::{complain, say};
use crate::error_chain::error_chain;
use crate::http;
use crate::sinks::connect;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The configuration file.
    #[arg(long, default_value = CONFIG_PATH)]
    config: PathBuf,
    /// Print mistakes and warnings only.
    #[arg(long)]
    quiet: bool,
    /// Print the JSON Schema of a configuration instead of checking one: editors that know TOML complete
    /// and check the file with it.
    #[arg(long, conflicts_with_all = ["config", "quiet"])]
    schema: bool,
    #[command(flatten)]
    flash: FlashArgs,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    if args.schema {
        say(&format!("{:#}", config::schema::json_schema()));
        return Ok(());
    }
    let config = Config::load(&args.config)?;
    if !args.quiet {
        say(config.to_toml().trim_end());
        // The line is a comment, so that the whole output is still a configuration.
        say(&format!("\n# flash: {}", args.flash.of_commits(config.log.commit_interval)));
    }
    for warning in config::warnings(&config) {
        complain(&format!("warning: {warning}"));
    }
    let faults = faults(&config);
    if faults.is_empty() { Ok(()) } else { Err(CliError::Files(faults)) }
}

/// The faults that reading the file alone does not show: secrets and certificates that cannot be used.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let local_port = http::check(&config.http).into_iter();
    let local_port = local_port.map(|error| format!("http: {}", error_chain(&error)));
    let sinks = config.sinks.iter().enumerate().filter_map(|(index, sink)| {
        let error = connect::check(sink).err()?;
        Some(format!("sink[{index}] (`{}`): {}", sink.name, error_chain(&error)))
    });
    local_port.chain(sinks).collect()
}
