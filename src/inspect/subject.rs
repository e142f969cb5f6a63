//! The log that is inspected, and the facts that are known of it beforehand.

use std::path::PathBuf;

use crate::config::{self, Config};
use crate::device::{self, DeviceError};
use crate::event_log::inspect::CommittedState;

/// A log, with the settings of its configuration if there is one.
#[derive(Clone, Debug)]
pub struct Subject {
    pub path: PathBuf,
    /// The device id that is printed with readings and events.
    pub device: String,
    /// The configured sinks; `None` without a configuration: then the sinks that the log knows count.
    pub sinks: Option<Vec<String>>,
    /// The settings of the log; `None` without a configuration.
    pub settings: Option<config::EventLog>,
}

impl Subject {
    /// The log that a configuration names. Fails if the device id cannot be determined.
    pub fn configured(config: &Config) -> Result<Self, DeviceError> {
        Ok(Self {
            path: config.log.path.clone(),
            device: device::id(config.device.id.as_deref())?,
            sinks: Some(config.sinks.iter().map(|sink| sink.name.clone()).collect()),
            settings: Some(config.log.clone()),
        })
    }

    /// A log at any path, without its configuration. Without `device`, the device is [`UNKNOWN_DEVICE`].
    pub fn named(path: PathBuf, device: Option<String>) -> Self {
        let device = device.unwrap_or_else(|| UNKNOWN_DEVICE.to_owned());
        Self { path, device, sinks: None, settings: None }
    }

    /// The sinks of the configuration, else those that the log knows.
    pub(super) fn sinks(&self, state: &CommittedState) -> Vec<String> {
        self.sinks.clone().unwrap_or_else(|| state.sinks())
    }
}

/// The device id that is printed for a log whose configuration is not at hand.
pub const UNKNOWN_DEVICE: &str = "unknown";
