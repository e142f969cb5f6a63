//! The log that is looked at, and what is known of it beforehand.

use std::path::PathBuf;

use crate::config::{self, Config};
use crate::device::{self, DeviceError};
use crate::event_log::inspect::CommittedState;

/// A log and what its configuration says of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub path: PathBuf,
    /// The name in every line.
    pub device: String,
    /// `None`: those the log knows of.
    pub sinks: Option<Vec<String>>,
    /// `None`: nobody said.
    pub settings: Option<config::EventLog>,
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

    /// Its sinks: those of the configuration, else those the log knows of.
    pub(super) fn sinks(&self, state: &CommittedState) -> Vec<String> {
        self.sinks.clone().unwrap_or_else(|| state.sinks())
    }
}

/// Stands for the device in lines of a log whose configuration is not at hand.
pub const UNKNOWN_DEVICE: &str = "unknown";
