//! Reads the time in a line, and whether the device's clock was set.

use std::time::UNIX_EPOCH;

use serde::Deserialize;

/// The state of the device's wall clock; a line without it means that the clock was set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClockState {
    #[default]
    Set,
    Unset,
}

/// Parses an RFC 3339 time into Unix milliseconds. Returns `None` for any other text and for times before
/// 1970.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
