//! Prints lines for the person or the script that called a command.

use std::io::Write as _;

/// Prints a line of output. A closed pipe (`outstation status | head`) is no error.
pub fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Prints a line about an error or about progress on stderr.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
