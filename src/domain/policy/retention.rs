//! Decides how many bytes of the log have to be evicted so that it stays within its bounds.

/// The size that a log may have, and the part of it that is not for readings. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The bound of all files of the log together.
    pub bytes_max: u64,
    /// The part for the journal, the index of the journal, and the ballast.
    pub reserved: u64,
}

/// The size of the log now, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of the file that are in use.
    pub used: u64,
    /// The whole file, free pages included.
    pub file: u64,
    /// A damaged log that was set aside.
    pub aside: u64,
}

/// What has to be done before more bytes can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// Whether to remove the log that was set aside. It goes first: everything readable in it was salvaged.
    pub remove_aside: bool,
    /// How many bytes of readings to evict at least.
    pub evict: u64,
}

impl Bounds {
    /// The bytes for readings and events.
    pub fn room(&self) -> u64 {
        self.bytes_max.saturating_sub(self.reserved)
    }

    /// The extra bytes of an eviction. If rows were evicted one by one, each second of readings would cost
    /// an event.
    fn step(&self) -> u64 {
        self.room() / 256
    }

    /// Decides what has to be done before `coming` more bytes can be written. `available` is the size that
    /// the file system allows for the file, in bytes; a full disk counts as a full log.
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

    /// Says whether the file is so much larger than its bound that copying it is worth the cost.
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
