//! Creates a working sink from its configuration. The folder of each kind has the delivery itself.

use tokio::sync::watch;

use super::kind::{Connector, SinkContext};
use crate::clock::Clock;
use crate::config::Sink;
use crate::credentials::SetupError;
use crate::event_log::LogStatus;
use crate::upload::Wire;

/// Creates the connector of a configured sink. All connections that it makes add their bytes to `wire`.
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

/// Checks the files that the sink needs. An error means that the sink could never send anything.
pub fn check(sink: &Sink) -> Result<(), SetupError> {
    sink.kind.settings.check()
}

/// The size in bytes of a reading with one or two channels in this sink's encoding. `None` if the sink
/// sends readings in their stored form.
pub fn bytes_per_reading(sink: &Sink) -> Option<u64> {
    sink.kind.settings.bytes_per_reading()
}
