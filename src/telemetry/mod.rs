//! Logs and metrics: where they go, and the named events they are made of.
//!
//! Under systemd records go to journald with structured fields; elsewhere to stderr, as text for
//! people or JSON for machines. WARN: nothing was lost. ERROR: something was, or a person is needed.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer as _, Registry, reload as reloadable};

use self::events::kinds;
use crate::clock::Clock;
use crate::config::{LogFilter, LogFormat, NotAFilter};
use records::format::Format;
pub use records::format::harmless;
use records::output::{JOURNAL, Output};
use records::record::Record;
pub use records::writer::Logging;
use records::writer::Voice;

pub(crate) mod counts;
pub mod events;
pub mod metric_names;
mod records;

/// Overrides the configured level.
pub const LEVEL_VARIABLE: &str = "OUTSTATION_LOG";

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "failed to read `{LEVEL_VARIABLE}={level}`; write for example `info` or `info,outstation::upload=debug`"
    )]
    Level { level: String, source: NotAFilter },
    #[error(
        "failed to connect to journald; set `telemetry.log_format` to `text` or start journald"
    )]
    Journald(#[source] std::io::Error),
    #[error("failed to start the thread that says later what is not read now")]
    Thread(#[source] std::io::Error),
    #[error("failed to install logging: {0}")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

/// What is logged; unset where a variable of the environment says it.
static LEVEL: OnceLock<reloadable::Handle<Targets, Registry>> = OnceLock::new();

/// Installs logging for the whole process.
pub fn init(level: &LogFilter, format: LogFormat) -> Result<Logging, TelemetryError> {
    let variable = std::env::var(LEVEL_VARIABLE).ok();
    let overridden = variable.is_some();
    let level = match variable {
        Some(level) => level.parse().map_err(|source| TelemetryError::Level { level, source })?,
        None => level.clone(),
    };
    let (output, format) = choose(format)?;
    let (layer, logging) = Voice::start(output, format).map_err(TelemetryError::Thread)?;
    let (filter, handle) = reloadable::Layer::new(level.targets());
    let layer = layer.with_filter(filter);
    tracing_subscriber::registry().with(layer).try_init().map_err(TelemetryError::Installed)?;
    if !overridden {
        LEVEL.get_or_init(|| handle);
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(message_id = kinds::PANICKED, "panic: {panic}");
    }));
    Ok(logging)
}

/// Says in the journal why the process ends; false where stderr is not the journal, and the reason
/// belongs there.
pub fn fail(reason: &str) -> bool {
    let record = Record::new(Level::ERROR, kinds::FAILED, reason, Clock::system().wall_ms());
    stderr_is_the_journal()
        && Output::journal(Path::new(JOURNAL))
            .and_then(|journal| journal.write(&Format::Journal.bytes(&record)))
            .is_ok()
}

/// Changes what is logged from now on.
pub fn set_level(level: &LogFilter) {
    // It fails when the subscriber is gone, and then nothing is logged anyway.
    LEVEL.get().into_iter().for_each(|handle| drop(handle.reload(level.targets())));
}

fn choose(format: LogFormat) -> Result<(Output, Format), TelemetryError> {
    let text = Format::Text { colours: std::io::stderr().is_terminal() };
    Ok(match format {
        LogFormat::Auto if stderr_is_the_journal() => Output::journal(Path::new(JOURNAL))
            .map_or_else(|_| (Output::stderr(), text), |journal| (journal, Format::Journal)),
        LogFormat::Journald => (
            Output::journal(Path::new(JOURNAL)).map_err(TelemetryError::Journald)?,
            Format::Journal,
        ),
        LogFormat::Json => (Output::stderr(), Format::Json),
        LogFormat::Auto | LogFormat::Text => (Output::stderr(), text),
    })
}

/// systemd.exec(5): `JOURNAL_STREAM` names the device and inode of the journal's stream. Children
/// inherit it, so only stderr being that very stream means the journal.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = rustix::fs::fstat(std::io::stderr());
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// An error and its causes on one line, each said once: some libraries repeat a cause in their own
/// words, or put a code before the same words.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error.to_string();
    let mut chain = last.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !chain.ends_with(&text) && !text.ends_with(&last) {
            chain.push_str(": ");
            chain.push_str(&text);
        }
        last = text;
        cause = error.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::error_chain;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> String {
        let link = |source, text: &&'static str| Some(Box::new(Link { text, source }));
        error_chain(&*texts.iter().rev().fold(None, link).expect("at least one"))
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        assert_eq!(
            chain(&["failed to commit", "full", "no space"]),
            "failed to commit: full: no space"
        );
        assert_eq!(chain(&["failed to commit: full", "full"]), "failed to commit: full");
        assert_eq!(chain(&["failed to commit", "full", "code 13: full"]), "failed to commit: full");
    }
}
