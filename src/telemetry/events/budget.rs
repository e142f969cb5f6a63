//! The events about a sink's data budget and quiet hours, and about events that a sink refuses.

use std::time::Duration;

use tracing::{info, warn};

use super::Report;
use super::message_ids;
use crate::domain::policy::budget::Held;

/// For a while the sink is sent only alarms.
#[derive(Debug)]
pub struct SinkHeldBack<'a> {
    pub sink: &'a str,
    pub why: Held,
    pub left: Duration,
}

impl Report for SinkHeldBack<'_> {
    fn report(&self) {
        let (reason, left_s) = (self.why.name(), self.left.as_secs());
        let left = humantime::format_duration(Duration::from_secs(left_s));
        match self.why {
            Held::Spent => warn!(
                message_id = message_ids::SINK_HELD_BACK,
                sink = self.sink,
                reason,
                retry_in_s = left_s,
                "budget is spent, only alarms leave and readings are kept for {left}"
            ),
            Held::QuietHours => info!(
                message_id = message_ids::SINK_HELD_BACK,
                sink = self.sink,
                reason,
                retry_in_s = left_s,
                "quiet hours, only alarms leave and readings are kept for {left}"
            ),
        }
    }
}

#[derive(Debug)]
pub struct SinkGoesOn<'a> {
    pub sink: &'a str,
}

impl Report for SinkGoesOn<'_> {
    fn report(&self) {
        info!(message_id = message_ids::SINK_GOES_ON, sink = self.sink, "readings leave again");
    }
}

#[derive(Debug)]
pub struct QuietHoursUnknown<'a> {
    pub sink: &'a str,
}

impl Report for QuietHoursUnknown<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::QUIET_HOURS_UNKNOWN,
            sink = self.sink,
            "clock is not set, so quiet hours do not hold until it is"
        );
    }
}

/// The server refused an event for good. An event is only history, so it is not offered again.
#[derive(Debug)]
pub struct EventRefused<'a> {
    pub sink: &'a str,
    pub event: &'a str,
    pub position: u64,
    pub detail: &'a str,
}

impl Report for EventRefused<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::EVENT_REFUSED,
            sink = self.sink,
            event = self.event,
            position = self.position,
            reason = "rejected",
            "sink refuses an event, it is not delivered again (should it know readings only, set \
             `events = false`): {}",
            self.detail
        );
    }
}
