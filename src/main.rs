//! Parses the command line, runs the command, and turns its error into an exit code.

#![forbid(unsafe_code)]

// The supervisor turns a panic into one actor's restart: it must be able to catch it.
#[cfg(not(panic = "unwind"))]
compile_error!("outstation needs `panic = \"unwind\"`: the supervisor restarts actors that panic");

use std::process::ExitCode;

use clap::Parser;
use outstation::cli::{self, Cli, CliError};
use outstation::console;
use outstation::error_chain::error_chain;
use outstation::telemetry;

/// sysexits(3): the command line is wrong.
const USAGE: u8 = 64;
/// sysexits(3): the configuration is wrong, and only an edit helps.
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a mistake.
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            drop(error.print());
            return code;
        }
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = error_chain(&error);
            if !telemetry::fail(&reason) {
                console::complain(&format!("outstation: {reason}"));
            }
            code_of(&error)
        }
    }
}

/// The one table from error to exit code.
fn code_of(error: &CliError) -> ExitCode {
    match error {
        CliError::Usage(_) => ExitCode::from(USAGE),
        CliError::Config(_) | CliError::Device(_) | CliError::Files(_) => ExitCode::from(CONFIG),
        _ => ExitCode::FAILURE,
    }
}
