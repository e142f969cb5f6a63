//! Decides whether a server that refuses readings can be trusted to mean these readings.
//!
//! A few bad readings are put in quarantine. When nearly everything is refused, the server is configured
//! wrongly or refuses for another reason. Then no reading may be put in quarantine, or the whole log would
//! end there.

/// Trust is lost after so many single readings refused in a row, with none accepted between.
const IN_A_ROW: u32 = 16;
/// Trust is also lost when nine in ten of the last so many readings were refused.
const DECIDED: u32 = 64;
const REFUSED_MAX: u32 = DECIDED * 9 / 10;

/// What became of the last readings, as one bit each with the latest one lowest; 1 means refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    recent: u64,
    decided: u32,
}

impl Trust {
    pub fn accepted(&mut self, readings: u64) {
        let readings = u32::try_from(readings).unwrap_or(u32::MAX);
        self.recent = self.recent.checked_shl(readings).unwrap_or(0);
        self.decided = self.decided.saturating_add(readings).min(DECIDED);
    }

    /// Records that a single reading was refused.
    pub fn refused(&mut self) {
        self.recent = self.recent << 1 | 1;
        self.decided = (self.decided + 1).min(DECIDED);
    }

    /// Says whether nearly everything is refused.
    pub fn is_lost(&self) -> bool {
        self.recent.trailing_ones() >= IN_A_ROW
            || (self.decided == DECIDED && self.recent.count_ones() > REFUSED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many readings are refused until trust is lost, or `None`. `true` means accepted.
    fn refused_until_lost(decisions: impl IntoIterator<Item = bool>) -> Option<usize> {
        let (mut trust, mut refused) = (Trust::default(), 0);
        for accepted in decisions {
            if accepted {
                trust.accepted(1);
            } else {
                trust.refused();
                refused += 1;
            }
            if trust.is_lost() {
                return Some(refused);
            }
        }
        None
    }

    #[test]
    fn sixteen_in_a_row_are_enough() {
        assert_eq!(refused_until_lost([false; 100]), Some(16));
        assert_eq!(refused_until_lost([false; 15]), None);
        let one_between = [[false; 15].as_slice(), &[true], &[false; 15]].concat();
        assert_eq!(refused_until_lost(one_between), None);
    }

    #[test]
    fn nine_in_ten_are_too_many_once_enough_were_decided() {
        let every = |n: usize| (0..1000).map(move |at| at % n == n - 1);
        assert_eq!(refused_until_lost(every(8)), None);
        assert_eq!(refused_until_lost(every(15)), Some(60));
    }

    #[test]
    fn a_batch_that_is_accepted_counts_for_all_its_readings() {
        let mut trust = Trust::default();
        for _ in 0..100 {
            (0..15).for_each(|_| trust.refused());
            assert!(!trust.is_lost());
            trust.accepted(65_536);
            assert_eq!(trust, Trust { recent: 0, decided: DECIDED });
        }
        trust.accepted(u64::MAX);
        trust.accepted(0);
        assert!(!trust.is_lost());
    }
}
