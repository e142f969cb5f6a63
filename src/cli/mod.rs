//! The command line: one file per command.

mod command;
mod error;

mod bench;
mod check;
mod collect;
mod demo;
mod discover;
mod log;
mod quarantine;
mod run;
mod status;

// Shared by the commands.
mod arguments;
mod runtime;

pub use command::{Cli, run};
pub use error::{CliError, QuarantineError, StatusError};
