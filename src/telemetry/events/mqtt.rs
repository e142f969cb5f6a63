//! The event about messages that a broker took and delivered to no subscriber.

use tracing::warn;

use super::Report;
use super::message_ids;
use crate::telemetry::metric_names::SINK_UNHEARD;

/// The broker took messages for which it has no subscriber, and dropped them. They count as delivered.
#[derive(Debug)]
pub struct MessagesUnheard<'a> {
    pub sink: &'a str,
    /// The topic of one of these messages.
    pub topic: &'a str,
    pub count: u64,
    /// Whether the messages before them had a subscriber: only the first loss of subscribers is worth a
    /// line.
    pub begins: bool,
}

impl Report for MessagesUnheard<'_> {
    fn report(&self) {
        metrics::counter!(SINK_UNHEARD, "sink" => self.sink.to_owned()).increment(self.count);
        if self.begins {
            warn!(
                message_id = message_ids::MESSAGES_UNHEARD,
                sink = self.sink,
                topic = self.topic,
                "nobody subscribes to what is published, and the broker drops it: it counts as \
                 delivered; subscribe with a persistent session, or check `topic`"
            );
        }
    }
}
