//! When a reading was taken, and how a time since boot becomes a date.
//!
//! A board without a battery starts in 1970 and learns the date later, or never. What it observes is
//! stamped with the time since boot, which is always right; an [`Anchor`] says what the wall clock
//! showed at some such moment, and dates everything of that boot, what came before it too.

use serde::{Deserialize, Serialize};

/// A clock that shows a date before this was never set: no build of this program is older.
pub const CLOCK_SET_AFTER_MS: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z

/// Which clock a timestamp was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeBase {
    /// Milliseconds since this boot of the device; dated later through a clock anchor.
    Boot,
    /// Milliseconds since 1970 UTC, stated by the sensor itself.
    Unix,
}

/// When a reading was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The clock.
    pub base: TimeBase,
    /// Milliseconds on it.
    pub ms: i64,
}

impl Stamp {
    /// A time since this boot of the device.
    pub fn boot(ms: i64) -> Self {
        Self { base: TimeBase::Boot, ms }
    }

    /// A time since 1970 UTC.
    pub fn unix(ms: i64) -> Self {
        Self { base: TimeBase::Unix, ms }
    }
}

/// A moment as the log knows it: a number of a boot, and the milliseconds since that boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// The number of the boot; they count from 0.
    pub boot: u32,
    /// Milliseconds since that boot.
    pub ms: i64,
}

/// What the wall clock has to do with the time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Unix milliseconds at the moment the device booted, as the wall clock has it.
    pub boot_at_ms: i64,
    /// Whether the wall clock had been set when this was read.
    pub set: bool,
}

impl Anchor {
    /// What two clocks showed at one moment: Unix milliseconds, and milliseconds since boot.
    pub fn new(wall_ms: i64, since_boot_ms: i64) -> Self {
        Self { boot_at_ms: wall_ms - since_boot_ms, set: wall_ms >= CLOCK_SET_AFTER_MS }
    }

    /// The date of a moment of this boot, in Unix milliseconds.
    pub fn date(&self, since_boot_ms: i64) -> i64 {
        self.boot_at_ms.saturating_add(since_boot_ms)
    }
}
