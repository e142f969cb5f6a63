//! Boots and clock anchors: how a time since boot becomes a date.
//!
//! A board without a battery starts in 1970 and learns the date later, or never. Readings are
//! stamped with the time since boot, which is always right; an anchor says what the wall clock
//! showed at some such moment, and dates all readings of that boot, those before it too.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A clock that shows a date before this was never set: no build of this program is older.
pub const CLOCK_SET_AFTER_MS: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z
/// Steps below this are drift within a boot, not news worth a write to flash.
pub const ANCHOR_STEP_MS: i64 = 500;

/// A moment as the log knows it: a number of a boot, and the milliseconds since that boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    pub boot: u32,
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
    pub fn new(wall_ms: i64, since_boot_ms: i64) -> Self {
        Self { boot_at_ms: wall_ms - since_boot_ms, set: wall_ms >= CLOCK_SET_AFTER_MS }
    }

    /// The date of a moment of this boot, in Unix milliseconds.
    pub fn date(&self, since_boot_ms: i64) -> i64 {
        self.boot_at_ms.saturating_add(since_boot_ms)
    }

    /// Whether `next` says something this one does not. A clock that lost its date teaches nothing.
    fn is_improved_by(&self, next: &Self) -> bool {
        let moved = (next.boot_at_ms - self.boot_at_ms).abs() >= ANCHOR_STEP_MS;
        (next.set || !self.set) && (moved || next.set != self.set)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub id: String,
    pub anchor: Option<Anchor>,
}

/// The aggregate of the `clock` stream: boots by the number that segments carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boots(Vec<Boot>);

impl Boots {
    pub fn get(&self, boot: u32) -> Option<&Boot> {
        self.0.get(boot as usize)
    }

    pub fn number_of(&self, id: &str) -> Option<u32> {
        let at = self.0.iter().rposition(|boot| boot.id == id)?;
        u32::try_from(at).ok()
    }

    pub fn next_number(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a board does not boot 2^32 times")
    }

    /// Boots that a salvaged log knows nothing about stay without a name and a date.
    pub fn apply_started(&mut self, boot: u32, id: String) {
        let at = boot as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Boot::default());
        }
        self.0[at].id = id;
    }

    /// The date of a moment in Unix milliseconds, and whether the clock was set; without an anchor
    /// the time since boot.
    pub fn date(&self, moment: Moment) -> (i64, bool) {
        let anchor = self.get(moment.boot).and_then(|boot| boot.anchor);
        anchor.map_or((moment.ms, false), |anchor| (anchor.date(moment.ms), anchor.set))
    }

    pub fn apply_anchored(&mut self, boot: u32, anchor: Anchor) {
        if let Some(boot) = self.0.get_mut(boot as usize) {
            boot.anchor = Some(anchor);
        }
    }

    /// Whether this anchor is worth remembering.
    pub fn is_news(&self, boot: u32, next: &Anchor) -> bool {
        let known = self.get(boot).and_then(|boot| boot.anchor.as_ref());
        known.is_none_or(|known| known.is_improved_by(next))
    }
}

/// A date as text, in UTC with milliseconds; before 1970 is 1970.
pub fn rfc3339(ms: i64) -> humantime::Rfc3339Timestamp {
    // Year 9999 is where RFC 3339 ends.
    let ms = u64::try_from(ms.clamp(0, 253_402_300_799_999)).unwrap_or(0);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn anchored(anchor: Anchor) -> Boots {
        let mut boots = Boots::default();
        boots.apply_started(0, "b".into());
        boots.apply_anchored(0, anchor);
        boots
    }

    #[test]
    fn setting_the_clock_is_news_and_dates_what_came_before() {
        let boots = anchored(Anchor::new(5_000, 5_000));
        let set = Anchor::new(NOW, 60_000);
        assert!(boots.is_news(0, &set));
        assert_eq!(set.date(1_000), NOW - 59_000);
    }

    #[test]
    fn a_clock_that_lost_its_date_teaches_nothing() {
        let boots = anchored(Anchor::new(NOW, 60_000));
        assert!(!boots.is_news(0, &Anchor::new(1_000, 61_000)));
    }

    #[test]
    fn drift_is_not_news_and_a_step_is() {
        let boots = anchored(Anchor::new(NOW, 60_000));
        assert!(!boots.is_news(0, &Anchor::new(NOW + 10_400, 70_000)));
        assert!(boots.is_news(0, &Anchor::new(NOW + 11_000, 70_000)));
    }
}
