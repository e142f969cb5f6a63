//! What is wrong with a configuration: every mistake at once, each with its line, key and remedy.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read configuration `{}`; {}", path.display(), next_step(source))]
    Unreadable { path: PathBuf, source: io::Error },

    /// `problems` is never empty and stands in the order of the text.
    #[error("invalid configuration `{origin}`: {}{}", count(problems), Lines(problems))]
    Invalid { origin: String, problems: Vec<Problem> },
}

impl ConfigError {
    /// A word for metrics and machine-readable output.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config_unreadable",
            Self::Invalid { .. } => "config_invalid",
        }
    }
}

/// One mistake. `key` is a path such as `port[1].baud`, or empty where the text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub key: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, message } = self;
        match key.as_str() {
            "" => write!(f, "line {line}, {message}"),
            key => write!(f, "line {line}: {key}: {message}"),
        }
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    }
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => {
            "name the file with --config FILE, or copy config/outstation.toml there"
        }
        ErrorKind::PermissionDenied => "make it readable for the user that runs outstation",
        ErrorKind::InvalidData => "save it as UTF-8 text",
        _ => "name a TOML file with --config FILE",
    }
}
