//! The filter that chooses which log lines are written: `info`, or `info,outstation::upload=debug`.
//!
//! It is stricter than tracing's own parser, which takes a misspelt level (`inof`) for the name of a
//! target: that would silence the daemon without a word.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::Targets;

/// A valid filter, which prints as it was written, without spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    text: String,
    targets: Targets,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log filter; allowed: {}", LogFilter::ALLOWED)]
pub struct NotAFilter;

impl LogFilter {
    /// The allowed syntax, for error messages.
    pub const ALLOWED: &str = "a level (off, error, warn, info, debug or trace), then any number of \
                               \",target=level\", such as \"info,outstation::upload=debug\"";

    /// The filter for warnings and errors only, for commands whose output is for people.
    #[must_use]
    pub fn warnings() -> Self {
        let targets = Targets::new().with_default(tracing_subscriber::filter::LevelFilter::WARN);
        Self { text: "warn".to_owned(), targets }
    }

    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        let targets = Targets::new().with_default(tracing_subscriber::filter::LevelFilter::INFO);
        Self { text: "info".to_owned(), targets }
    }
}

impl FromStr for LogFilter {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        // Spaces are removed, because tracing's parser keeps them as part of a target, which then matches
        // nothing.
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        let text = directives.join(",");
        match directives.iter().all(|directive| is_directive(directive)) {
            true => text.parse().map(|targets| Self { text, targets }).map_err(|_| NotAFilter),
            false => Err(NotAFilter),
        }
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_directive(directive: &str) -> bool {
    let target_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
    let (target, level) = directive.split_once('=').unwrap_or(("any", directive));
    !target.is_empty() && target.chars().all(target_char) && LEVELS.contains(&level)
}
