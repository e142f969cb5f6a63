//! Installs logging for the process, and chooses where its records go.

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer as _, Registry, reload as reloadable};

use super::events::message_ids;
use super::filter::{LogFilter, NotAFilter};
use super::records::format::Format;
use super::records::output::Output;
use super::records::record::Record;
use super::records::writer::{LogLayer, LogWriter, Logging};
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
    #[error("failed to start the thread of the log writer")]
    Thread(#[source] std::io::Error),
    #[error("failed to install logging: {0}")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

/// How records are written, as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// journald if systemd connected stderr to the journal, otherwise text.
    #[default]
    Auto,
    Journald,
    Text,
    Json,
}

/// The filter of the running process. Not set where the environment overrides the configuration.
static LEVEL: OnceLock<reloadable::Handle<Targets, Registry>> = OnceLock::new();

/// Installs logging for the whole process.
pub fn init(level: &LogFilter, format: LogFormat) -> Result<Logging, TelemetryError> {
    let variable = std::env::var(LEVEL_VARIABLE).ok();
    let overridden = variable.is_some();
    let level = match variable {
        Some(level) => level.parse().map_err(|source| TelemetryError::Level { level, source })?,
        None => level.clone(),
    };
    let writer = LogWriter::start(choose(format)?).map_err(TelemetryError::Thread)?;
    let (filter, handle) = reloadable::Layer::new(level.targets());
    let logging = Logging(Arc::clone(&writer));
    let layer = LogLayer(writer).with_filter(filter);
    tracing_subscriber::registry().with(layer).try_init().map_err(TelemetryError::Installed)?;
    if !overridden {
        LEVEL.get_or_init(|| handle);
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(message_id = message_ids::PANICKED, "panic: {panic}");
    }));
    Ok(logging)
}

/// Writes to the journal why the process ends. Returns false where stderr is not the journal or journald
/// did not take the record in time; the caller must then write the reason to stderr.
pub fn fail(reason: &str) -> bool {
    let record = Record::new(Level::ERROR, message_ids::FAILED, reason, Clock::system().wall_ms());
    stderr_is_the_journal()
        && Output::journal().and_then(LogWriter::start).is_ok_and(|writer| {
            writer.emit(record);
            writer.finish()
        })
}

/// Changes which events are logged from now on.
pub fn set_level(level: &LogFilter) {
    // Reloading fails if the subscriber is gone, and then nothing is logged anyway.
    LEVEL.get().into_iter().for_each(|handle| drop(handle.reload(level.targets())));
}

fn choose(format: LogFormat) -> Result<Output, TelemetryError> {
    let text = || Output::stderr(Format::Text { colours: std::io::stderr().is_terminal() });
    Ok(match format {
        LogFormat::Auto if stderr_is_the_journal() => Output::journal().unwrap_or_else(|_| text()),
        LogFormat::Journald => Output::journal().map_err(TelemetryError::Journald)?,
        LogFormat::Json => Output::stderr(Format::Json),
        LogFormat::Auto | LogFormat::Text => text(),
    })
}

/// systemd.exec(5): `JOURNAL_STREAM` names the device and inode of the journal's stream. Children
/// inherit the variable, so stderr is the journal only if it is that very stream.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = rustix::fs::fstat(std::io::stderr());
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
