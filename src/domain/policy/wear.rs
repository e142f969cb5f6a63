//! Computes how long the flash lasts under the log.
//!
//! ```text
//! bytes a day = commits a day × bytes of a commit + bytes of readings a day × amplification
//! endurance   = size × cycles                 (what the flash takes before its cells are worn)
//! years       = endurance ÷ (bytes a day × 365.25)
//! ```
//!
//! Size × cycles is the "total bytes written" of flash with wear levelling (JEDEC JESD218 computes it in
//! the same way, divided by the amplification inside the device). The amplification of the device is not
//! known here; what the file system and SQLite's journal add is in the two constants.

/// Bytes that a commit writes to the flash besides its readings: pages of the journal, their copies in the
/// file, and the file system's own journal. Measured on ext4 with blocks of 4 KiB, see
/// `docs/develop/figures.md`; with smaller blocks it is half.
pub const BYTES_PER_COMMIT: f64 = 8_600.0;
/// Bytes written to the flash for each byte of a segment's body, in the journal and the file together.
/// Measured, see `docs/develop/figures.md`.
pub const BYTES_PER_BODY_BYTE: f64 = 2.5;

const SECONDS_PER_DAY: f64 = 86_400.0;
const DAYS_PER_YEAR: f64 = 365.25;

/// How much is written, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub commits_per_s: f64,
    /// Bytes of segment bodies.
    pub body_bytes_per_s: f64,
}

impl Load {
    /// The load of one commit per interval, without the readings in the commits.
    pub fn of_commits(commit_interval_s: f64) -> Self {
        Self { commits_per_s: per_second(commit_interval_s), body_bytes_per_s: 0.0 }
    }

    /// The load of readings at this rate: at most one commit per interval, but at least one per
    /// `commit_readings` readings, and never more commits than readings.
    pub fn of(rate: Rate, commit_interval_s: f64, commit_readings: f64) -> Self {
        let filled = rate.readings_per_s / commit_readings.max(1.0);
        let commits = per_second(commit_interval_s).max(filled).min(rate.readings_per_s);
        Self { commits_per_s: commits, body_bytes_per_s: rate.body_bytes_per_s }
    }

    /// Bytes written to the flash in a day.
    pub fn bytes_per_day(&self) -> f64 {
        let commits = self.commits_per_s * BYTES_PER_COMMIT;
        let bodies = self.body_bytes_per_s * BYTES_PER_BODY_BYTE;
        (commits + bodies) * SECONDS_PER_DAY
    }
}

fn per_second(interval_s: f64) -> f64 {
    if interval_s > 0.0 { interval_s.recip() } else { f64::INFINITY }
}

/// How fast readings arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub readings_per_s: f64,
    pub body_bytes_per_s: f64,
}

/// The flash that holds the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flash {
    pub bytes: u64,
    /// How often each cell can be written.
    pub cycles: u32,
}

/// A cheap eMMC: 8 GB of cells that last 3,000 cycles.
impl Default for Flash {
    fn default() -> Self {
        Self { bytes: 8_000_000_000, cycles: 3_000 }
    }
}

impl Flash {
    /// Bytes that can be written before the cells are worn.
    pub fn endurance_bytes(&self) -> f64 {
        self.bytes as f64 * f64::from(self.cycles)
    }

    /// How many years the flash lasts at this load; `None` if nothing is written.
    pub fn years(&self, bytes_per_day: f64) -> Option<f64> {
        (bytes_per_day > 0.0).then(|| self.endurance_bytes() / (bytes_per_day * DAYS_PER_YEAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= right.abs() * 1e-9
    }

    #[test]
    fn a_commit_a_second_wears_its_constant_out() {
        let bytes = Load::of_commits(1.0).bytes_per_day();
        assert!(close(bytes, 86_400.0 * BYTES_PER_COMMIT), "{bytes}");
        let years = Flash::default().years(bytes).expect("something is written");
        assert!(close(years, 8e9 * 3_000.0 / (bytes * 365.25)), "{years}");
    }

    #[test]
    fn ten_times_the_interval_lasts_ten_times_as_long() {
        let years = |interval| Flash::default().years(Load::of_commits(interval).bytes_per_day());
        assert!(close(years(10.0).expect("some"), 10.0 * years(1.0).expect("some")));
    }

    #[test]
    fn there_are_never_more_commits_than_readings_nor_fewer_than_full_ones() {
        let commits = |readings_per_s| {
            let rate = Rate { readings_per_s, body_bytes_per_s: 0.0 };
            Load::of(rate, 1.0, 100.0).commits_per_s
        };
        assert!(close(commits(0.1), 0.1));
        assert!(close(commits(50.0), 1.0));
        assert!(close(commits(1_000.0), 10.0));
        assert!(commits(0.0) == 0.0);
    }

    #[test]
    fn readings_are_written_more_than_once() {
        let rate = Rate { readings_per_s: 1_000.0, body_bytes_per_s: 700.0 };
        let load = Load::of(rate, 1.0, 16_384.0);
        let expected = 86_400.0 * (BYTES_PER_COMMIT + 700.0 * BYTES_PER_BODY_BYTE);
        assert!(close(load.bytes_per_day(), expected));
    }

    #[test]
    fn flash_nobody_writes_to_has_no_end() {
        assert_eq!(Flash::default().years(0.0), None);
    }
}
