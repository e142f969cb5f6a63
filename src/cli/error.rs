//! The reasons why a command fails. `main` turns them into exit codes.

use std::path::PathBuf;

use hyper::StatusCode;

use crate::app::AppError;
use crate::bench::BenchError;
use crate::collect::{CollectError, StoreError};
use crate::config::ConfigError;
use crate::control::client::ControlError;
use crate::credentials::file::SetupError;
use crate::demo::DemoError;
use crate::device::DeviceError;
use crate::discovery::DiscoveryError;
use crate::discovery::mdns::MdnsError;
use crate::http::fetch::FetchError;
use crate::inspect::InspectError;
use crate::telemetry::TelemetryError;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}; see `outstation help`")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the configuration is well formed, but:\n  {}", .0.join("\n  "))]
    Files(Vec<String>),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("failed to announce the collector on the local network")]
    Announce(#[source] MdnsError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("the ledger does not balance")]
    Unbalanced,
    #[error("failed to {operation} `{}`", .path.display())]
    File { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("failed to {operation}")]
    System { operation: &'static str, source: std::io::Error },
}

/// The reason why a daemon's status cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("`{url}` answered {status}: {said}")]
    Refused { url: String, status: StatusCode, said: String },
    #[error("`{url}` answered {status}; is this the local port of an outstation?")]
    Answer { url: String, status: StatusCode },
    #[error("`{url}` did not answer with JSON; is this the local port of an outstation?")]
    Json { url: String, source: serde_json::Error },
}

/// The reason why the quarantine cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "the log is in use, and no daemon listens at `{}`: it is just starting, or of an earlier version; \
         try again, or stop it first",
        .path.display()
    )]
    Unheard { path: PathBuf },
    #[error("no daemon runs, and the log cannot be opened without it: {advice}")]
    Alone { advice: String },
    #[error("{0}")]
    Declined(String),
}
