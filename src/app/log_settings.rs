//! Derives the settings of the log from the configuration.

use crate::config::{Config, Sink};
use crate::event_log::settings::{LogConfig, SinkRules};

/// The settings of the log of the device `device`. The generation in them is a checksum of the whole
/// configuration, with the version of the daemon.
pub fn log_config(config: &Config, device: &str) -> LogConfig {
    let quarantined = |sink: &Sink| (sink.name.clone(), sink.quarantine_readings);
    let hash = crc32fast::hash(config.to_toml().as_bytes());
    LogConfig {
        quarantine_readings: config.sinks.iter().map(quarantined).collect(),
        sinks: config.sinks.iter().map(rules).collect(),
        generation: (hash, env!("CARGO_PKG_VERSION")),
        ..LogConfig::new(&config.log, device)
    }
}

/// The rules that the log applies to a sink.
fn rules(sink: &Sink) -> SinkRules {
    let (name, lanes) = (sink.name.clone(), sink.pace.lanes());
    SinkRules { name, events: sink.events, best_effort: sink.best_effort, lanes }
}
