//! What the log is given of the configuration.

use crate::config::{Config, Sink};
use crate::event_log::settings::{LogConfig, SinkRules};

/// The settings of the log of this device.
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

/// What the log holds to for a sink.
fn rules(sink: &Sink) -> SinkRules {
    let (name, lanes) = (sink.name.clone(), sink.pace.lanes());
    SinkRules { name, events: sink.events, best_effort: sink.best_effort, lanes }
}
