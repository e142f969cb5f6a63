//! When a line says that something was, and how far its device knew the time.

use std::time::UNIX_EPOCH;

use serde::Deserialize;

/// Of the device's wall clock; a line that says nothing of it means that it was set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClockState {
    #[default]
    Set,
    Unset,
}

pub(super) fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
