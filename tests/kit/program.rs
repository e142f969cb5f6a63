//! The program's commands.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use super::need::is_root;
use super::process::Process;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_outstation");

/// Runs a command that ends by itself.
pub(crate) fn outstation(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env_remove("OUTSTATION_LOG").output().expect("run outstation")
}

/// The same as a user who may read what everybody may.
pub(crate) fn as_nobody(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    if is_root() {
        command.uid(65_534);
    }
    command.output().expect("run outstation")
}

/// A command whose stdout is read while it runs.
pub(crate) fn piped(args: &[&str]) -> Process {
    Process::start(Command::new(PROGRAM).args(args).stdout(Stdio::piped()))
}
