//! Boots and clock anchors: how a time since boot becomes a date.
//!
//! A board without a battery starts in 1970 and learns the date later, or never. Readings are
//! stamped with the time since boot, which is always right; an anchor says what the wall clock
//! showed at some such moment, and dates all readings of that boot, those before it too.

use std::time::{Duration, UNIX_EPOCH};

use outstation_codec::{Anchor, Moment};
use serde::{Deserialize, Serialize};

/// Steps below this are drift within a boot, not news worth a write to flash.
const ANCHOR_STEP_MS: i64 = 500;

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
        known.is_none_or(|known| improves(known, next))
    }
}

/// Whether `next` says something that `known` does not. A clock that lost its date teaches nothing.
fn improves(known: &Anchor, next: &Anchor) -> bool {
    let moved = (next.boot_at_ms - known.boot_at_ms).abs() >= ANCHOR_STEP_MS;
    (next.set || !known.set) && (moved || next.set != known.set)
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
