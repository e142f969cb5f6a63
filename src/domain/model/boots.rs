//! Boots and clock anchors, which turn a time since boot into a date.
//!
//! A board without a battery starts in 1970 and learns the date later, or never. Readings are stamped with
//! the time since boot, which is always right. An anchor records what the wall clock showed at one moment
//! of a boot; it dates all readings of that boot, the earlier ones too.

use std::time::{Duration, UNIX_EPOCH};

use outstation_codec::{Anchor, Moment};
use serde::{Deserialize, Serialize};

/// A step of the wall clock below this is drift within a boot and does not justify a write to flash.
const ANCHOR_STEP_MS: i64 = 500;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub id: String,
    pub anchor: Option<Anchor>,
}

/// The aggregate of the `clock` stream: the boots, indexed by the number that segments carry.
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

    /// Sets the id of a boot. Boots below it that a salvaged log does not know get no id and no date.
    pub fn apply_started(&mut self, boot: u32, id: String) {
        let at = boot as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Boot::default());
        }
        self.0[at].id = id;
    }

    /// Returns the date of a moment in Unix milliseconds and whether the clock was set. Without an anchor
    /// the date is the time since boot, and the clock counts as not set.
    pub fn date(&self, moment: Moment) -> (i64, bool) {
        let anchor = self.get(moment.boot).and_then(|boot| boot.anchor);
        anchor.map_or((moment.ms, false), |anchor| (anchor.date(moment.ms), anchor.set))
    }

    pub fn apply_anchored(&mut self, boot: u32, anchor: Anchor) {
        if let Some(boot) = self.0.get_mut(boot as usize) {
            boot.anchor = Some(anchor);
        }
    }

    /// Says whether `next` should be recorded as the anchor of this boot.
    pub fn is_news(&self, boot: u32, next: &Anchor) -> bool {
        let known = self.get(boot).and_then(|boot| boot.anchor.as_ref());
        known.is_none_or(|known| improves(known, next))
    }
}

/// Says whether `next` adds something to `known`. An anchor of an unset clock never replaces one of a set
/// clock.
fn improves(known: &Anchor, next: &Anchor) -> bool {
    let moved = (next.boot_at_ms - known.boot_at_ms).abs() >= ANCHOR_STEP_MS;
    (next.set || !known.set) && (moved || next.set != known.set)
}

/// Formats Unix milliseconds as an RFC 3339 date in UTC. Dates before 1970 become 1970.
pub fn rfc3339(ms: i64) -> humantime::Rfc3339Timestamp {
    // RFC 3339 ends with the year 9999.
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
