//! Parses the command line, runs the command, and turns its error into an exit code.

#![forbid(unsafe_code)]

// The supervisor restarts an actor that panics, so it must be able to catch a panic.
#[cfg(not(panic = "unwind"))]
compile_error!("outstation needs `panic = \"unwind\"`: the supervisor restarts actors that panic");

use std::process::ExitCode;

use clap::Parser;
use outstation::cli::{self, Cli, CliError};
use outstation::console;
use outstation::error_chain::error_chain;
use outstation::telemetry;

/// The exit code for a wrong command line, from sysexits(3).
const USAGE: u8 = 64;
/// The exit code for a wrong configuration, which only an edit can correct, from sysexits(3).
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are valid results; everything else is a mistake of the caller.
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

/// The exit code of each error.
fn code_of(error: &CliError) -> ExitCode {
    match error {
        CliError::Usage(_) => ExitCode::from(USAGE),
        CliError::Config(_) | CliError::Device(_) | CliError::Files(_) => ExitCode::from(CONFIG),
        _ => ExitCode::FAILURE,
    }
}
