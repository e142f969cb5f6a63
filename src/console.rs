//! Lines for the person at the terminal, or the script, that called a command.

use std::io::Write as _;

/// A line for whoever called us. A closed pipe (`outstation status | head`) is no error.
pub fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// A line about what went wrong, or about progress, beside the output.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
