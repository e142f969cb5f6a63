//! Arguments that several commands share.

use clap::ValueEnum;

use crate::telemetry::LogFormat;

/// The path at which the package installs the configuration.
pub(super) const CONFIG_PATH: &str = "/etc/outstation/outstation.toml";

/// How log records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormatArg {
    /// journald when started by systemd, otherwise text on stderr.
    Auto,
    Journald,
    Text,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Auto => Self::Auto,
            LogFormatArg::Journald => Self::Journald,
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}
