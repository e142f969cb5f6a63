//! From a sink in the configuration to what delivers.

use tokio::sync::watch;

use super::kind::{Connector, SinkContext};
use crate::clock::Clock;
use crate::config::Sink;
use crate::credentials::SetupError;
use crate::event_log::LogStatus;
use crate::upload::Wire;

/// Makes what delivers to the endpoints of a sink; what it costs is counted on the wire.
pub fn connector(
    sink: &Sink,
    wire: &Wire,
    clock: &Clock,
    log: watch::Receiver<LogStatus>,
) -> Connector {
    sink.kind.settings.connector(SinkContext {
        sink: sink.name.clone(),
        timeout: sink.timeout,
        order: sink.pace.order,
        wire: wire.clone(),
        clock: clock.clone(),
        log,
    })
}

/// Finds what would keep a sink from ever sending.
pub fn check(sink: &Sink) -> Result<(), SetupError> {
    sink.kind.settings.check()
}

/// What a reading of one or two channels takes in this sink's encoding, unless it is the stored one.
pub fn bytes_per_reading(sink: &Sink) -> Option<u64> {
    sink.kind.settings.bytes_per_reading()
}
