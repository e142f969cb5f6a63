//! The events about readings that the `prometheus` sink delivered in another way than usual.

use tracing::info;

use super::Report;
use super::message_ids;
use crate::telemetry::metric_names::{LEFT_OUT, SINK_FOUND, SINK_LEFT_OUT};

/// The server refused readings because it has them already.
#[derive(Debug)]
pub struct ReadingsFound<'a> {
    pub sink: &'a str,
    pub count: u64,
}

impl Report for ReadingsFound<'_> {
    fn report(&self) {
        if self.count == 0 {
            return;
        }
        info!(
            message_id = message_ids::READINGS_FOUND,
            sink = self.sink,
            count = self.count,
            "readings whose acknowledgement was lost are at the sink's server already"
        );
        metrics::counter!(SINK_FOUND, "sink" => self.sink.to_owned()).increment(self.count);
    }
}

/// Values that the protocol has no room for were left out. They are counted and not logged, because every
/// batch may have some.
#[derive(Debug)]
pub struct ValuesLeftOut<'a> {
    pub sink: &'a str,
    pub texts: u64,
    pub replaced: u64,
}

impl Report for ValuesLeftOut<'_> {
    fn report(&self) {
        for (reason, count) in LEFT_OUT.into_iter().zip([self.texts, self.replaced]) {
            let labels = [("sink", self.sink.to_owned()), ("reason", reason.to_owned())];
            metrics::counter!(SINK_LEFT_OUT, &labels).increment(count);
        }
    }
}
