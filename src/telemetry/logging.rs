//! Installs logging for the process, and chooses where its records go.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer as _, Registry, reload as reloadable};

use super::events::message_ids;
use super::filter::{LogFilter, NotAFilter};
use super::records::format::Format;
use super::records::output::{JOURNAL, Output};
use super::records::record::Record;
use super::records::writer::{Logging, Voice};
use crate::clock::Clock;

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

/// How records are written, as the configuration says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// journald when systemd started us with its stderr there, otherwise text.
    #[default]
    Auto,
    Journald,
    Text,
    Json,
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
        tracing::error!(message_id = message_ids::PANICKED, "panic: {panic}");
    }));
    Ok(logging)
}

/// Says in the journal why the process ends; false where stderr is not the journal, and the reason
/// belongs there.
pub fn fail(reason: &str) -> bool {
    let record = Record::new(Level::ERROR, message_ids::FAILED, reason, Clock::system().wall_ms());
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
