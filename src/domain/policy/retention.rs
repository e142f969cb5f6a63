//! How much of the log has to go so that it keeps its bounds.

/// The most a log may take, and what of it is not for readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Everything the log keeps on disk.
    pub bytes_max: u64,
    /// Journal, index of the journal, and the ballast.
    pub reserved: u64,
}

/// What the log takes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of the file that hold something.
    pub used: u64,
    /// The file as it is, free pages included.
    pub file: u64,
    /// A damaged log that was set aside.
    pub aside: u64,
}

/// What has to happen before so many bytes more can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// The log that was set aside goes first: everything readable in it was salvaged.
    pub remove_aside: bool,
    /// At least so many bytes of readings.
    pub evict: u64,
}

impl Bounds {
    /// Bytes for readings and events.
    pub fn room(&self) -> u64 {
        self.bytes_max.saturating_sub(self.reserved)
    }

    /// Evicting row by row would make an event of each second of readings; so a bit more goes at once.
    fn step(&self) -> u64 {
        self.room() / 256
    }

    /// `available`: how large the file system lets the file become, whatever the bounds say. A full
    /// disk is a full log.
    pub fn relief(&self, usage: Usage, coming: u64, available: u64) -> Relief {
        let room = self.room().min(available);
        let wanted = usage.used + coming;
        if wanted + usage.aside <= room {
            return Relief::default();
        }
        let remove_aside = usage.aside > 0;
        let evict = if wanted > room { wanted - room + self.step() } else { 0 };
        Relief { remove_aside, evict }
    }

    /// Whether the file is so much larger than it may be that copying it pays.
    pub fn is_oversized(&self, usage: Usage) -> bool {
        usage.file > self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 10_000, reserved: 2_320 }; // 7680 of room, steps of 30

    fn relief(used: u64, aside: u64, coming: u64, available: u64) -> (bool, u64) {
        let usage = Usage { used, file: 5_000, aside };
        let relief = BOUNDS.relief(usage, coming, available);
        (relief.remove_aside, relief.evict)
    }

    #[test]
    fn what_fits_costs_nothing() {
        assert_eq!(relief(7_000, 0, 680, u64::MAX), (false, 0));
        assert_eq!(relief(7_000, 80, 600, u64::MAX), (false, 0));
    }

    #[test]
    fn what_was_set_aside_goes_before_any_reading() {
        assert_eq!(relief(7_000, 100, 600, u64::MAX), (true, 0));
        assert_eq!(relief(7_000, 100, 700, u64::MAX), (true, 50));
    }

    #[test]
    fn what_does_not_fit_is_evicted_with_a_step_more() {
        assert_eq!(relief(7_600, 0, 100, u64::MAX), (false, 50));
    }

    #[test]
    fn on_a_full_file_system_what_it_can_give_is_the_bound() {
        assert_eq!(relief(4_000, 0, 900, 5_000), (false, 0));
        assert_eq!(relief(5_000, 0, 100, 5_000), (false, 130));
    }

    #[test]
    fn an_oversized_file_is_one_above_everything_allowed() {
        let usage = |file| Usage { used: 0, file, aside: 0 };
        assert!(BOUNDS.is_oversized(usage(10_001)) && !BOUNDS.is_oversized(usage(10_000)));
    }
}
