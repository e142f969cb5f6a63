//! The times of readings, and the conversion from times since boot to dates.
//!
//! A board without a battery starts in 1970 and learns the date later, or never. Its observations are
//! stamped with the time since boot, which is always right. An [`Anchor`] gives the date of the boot, as
//! the wall clock had it, and so dates everything of that boot, also what came before the anchor.

use serde::{Deserialize, Serialize};

/// A clock that shows an earlier date than this was never set: no build of this program is older.
pub const CLOCK_SET_AFTER_MS: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z

/// The clock that a timestamp was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeBase {
    /// Milliseconds since this boot of the device; dated later through a clock anchor.
    Boot,
    /// Milliseconds since 1970 UTC, stated by the sensor itself.
    Unix,
}

/// The time at which a reading was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The clock that the time was read from.
    pub base: TimeBase,
    /// The milliseconds on that clock.
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

/// A moment as the log knows it: the number of a boot, and the milliseconds since that boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// The number of the boot, from 0.
    pub boot: u32,
    /// Milliseconds since that boot.
    pub ms: i64,
}

/// The relation between the wall clock and the time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The moment at which the device booted, in Unix milliseconds, as the wall clock has it.
    pub boot_at_ms: i64,
    /// Whether the wall clock had been set when it was read.
    pub set: bool,
}

impl Anchor {
    /// Makes an anchor from two clocks read at one moment: Unix milliseconds, and milliseconds since boot.
    pub fn new(wall_ms: i64, since_boot_ms: i64) -> Self {
        Self { boot_at_ms: wall_ms - since_boot_ms, set: wall_ms >= CLOCK_SET_AFTER_MS }
    }

    /// The date of a moment of this boot, in Unix milliseconds.
    pub fn date(&self, since_boot_ms: i64) -> i64 {
        self.boot_at_ms.saturating_add(since_boot_ms)
    }
}
