//! What `outstation log` and `outstation quarantine list` do: looks at a log beside its daemon, or without one.
//!
//! ```text
//!  LogView ─pages▶ readings ─Dated▶ lines ─text▶ Output     show, export, quarantine
//!     └─ heads, state ▶ stat        └─ all of it ▶ verify
//!  Remains ─segments▶ readings ─────────────────▶ Output     salvage
//! ```
//!
//! Nothing here writes to a log, and nothing waits with a page open.

use std::io;
use std::path::PathBuf;

use crate::config::{self, Config};
use crate::device::{self, DeviceError};
use crate::event_log::inspect::State;
use crate::event_log::store::error::StorageError;

// How a log is told.
pub mod lines;
pub mod output;
pub mod readings;
pub mod words;

// What is told.
pub mod events;
pub mod export;
pub mod quarantine;
pub mod recent;
pub mod salvage;
pub mod show;
pub mod stat;
pub mod verify;

/// A log and what its configuration says of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub path: PathBuf,
    /// The name in every line.
    pub device: String,
    /// `None`: those the log knows of.
    pub sinks: Option<Vec<String>>,
    /// `None`: nobody said.
    pub settings: Option<config::Log>,
}

impl Subject {
    pub fn configured(config: &Config) -> Result<Self, DeviceError> {
        Ok(Self {
            path: config.log.path.clone(),
            device: device::id(config.device.id.as_deref())?,
            sinks: Some(config.sinks.iter().map(|sink| sink.name.clone()).collect()),
            settings: Some(config.log.clone()),
        })
    }

    /// A log somewhere, of nobody knows which device.
    pub fn named(path: PathBuf, device: Option<String>) -> Self {
        let device = device.unwrap_or_else(|| UNKNOWN_DEVICE.to_owned());
        Self { path, device, sinks: None, settings: None }
    }

    fn sinks(&self, state: &State) -> Vec<String> {
        self.sinks.clone().unwrap_or_else(|| state.sinks())
    }
}

/// Stands for the device in lines of a log whose configuration is not at hand.
pub const UNKNOWN_DEVICE: &str = "unknown";

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Storage(StorageError),
    #[error(
        "the log `{path}` is damaged; a daemon salvages it by itself when it meets the damage or starts, \
         `outstation log salvage {path}` reads what is left once no daemon has it",
        path = .path.display()
    )]
    Damaged { path: PathBuf, source: StorageError },
    #[error("{what}; try again, and if it repeats look at the storage (`dmesg`)")]
    Interrupted { what: String },
    #[error("failed to write {to}")]
    Output { to: String, source: io::Error },
    #[error("`{}` exists; name another file, or replace it with --force", .path.display())]
    Exists { path: PathBuf },
    #[error("nothing such is in quarantine; `outstation quarantine list` shows what is")]
    NothingSuch,
    #[error("`{}` is part of the log itself; name another file", .path.display())]
    Own { path: PathBuf },
    #[error("the log is not sound: {problems} problems; {next_step}")]
    Unsound { problems: u64, next_step: &'static str },
}

impl InspectError {
    /// Whether whoever read our output has seen enough.
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Damage gets its next step.
    fn at(path: &std::path::Path) -> impl Fn(StorageError) -> Self + '_ {
        |source| match source {
            // These say it themselves.
            source if !source.is_damage() => Self::Storage(source),
            source => Self::Damaged { path: path.to_owned(), source },
        }
    }
}
