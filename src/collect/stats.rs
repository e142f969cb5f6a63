//! The statistics that `/stats` shows: the numbers received and those missing.

use serde::Serialize;

use super::tally::Tally;

/// The number of gaps listed per device: enough to see a pattern, and few enough to read.
const GAPS_MAX: usize = 100;

/// The sums over all devices, and the statistics of each device and epoch in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub unique: u64,
    pub repeats: u64,
    /// The count of numbers that are absent between the first of the epoch and the last one received.
    pub missing: u64,
    pub events: u64,
    pub event_repeats: u64,
    pub devices: Vec<DeviceStats>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceStats {
    pub device: String,
    pub epoch: u64,
    pub unique: u64,
    pub repeats: u64,
    pub missing: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The first number of the epoch: 1, unless it continues the numbering of an earlier epoch.
    pub begins: u64,
    /// The first hundred ranges of missing numbers, both ends included.
    pub gaps: Vec<(u64, u64)>,
    pub events: u64,
    pub event_repeats: u64,
    pub last_event: u64,
}

impl Stats {
    /// Replaces the statistics of these devices and computes the sums again.
    pub(super) fn update(&mut self, devices: impl IntoIterator<Item = DeviceStats>) {
        for device in devices {
            let place = self.devices.binary_search_by(|known| known.key().cmp(&device.key()));
            match place {
                Ok(at) => self.devices[at] = device,
                Err(at) => self.devices.insert(at, device),
            }
        }
        let sum = |of: fn(&DeviceStats) -> u64| self.devices.iter().map(of).sum();
        self.unique = sum(|device| device.unique);
        self.repeats = sum(|device| device.repeats);
        self.missing = sum(|device| device.missing);
        self.events = sum(|device| device.events);
        self.event_repeats = sum(|device| device.event_repeats);
    }
}

impl DeviceStats {
    pub(super) fn new(device: String, epoch: u64, tally: &Tally) -> Self {
        let (readings, begins) = (&tally.readings, tally.begins);
        let first_seq = readings.intervals().first().map_or(0, |(first, _)| *first);
        let last_seq = readings.last().unwrap_or(0);
        // Numbers that were never received at the start of the epoch are missing, too.
        let head = (first_seq > begins).then(|| (begins, first_seq - 1));
        let gaps = readings.gaps().map(|(first, last)| (first.max(begins), last));
        let gaps = head.into_iter().chain(gaps.filter(|(first, last)| first <= last));
        let due = (last_seq + 1).saturating_sub(begins);
        Self {
            device,
            epoch,
            unique: readings.count(),
            repeats: tally.repeats,
            missing: due - readings.count_within(begins, last_seq),
            first_seq,
            last_seq,
            begins,
            gaps: gaps.take(GAPS_MAX).collect(),
            events: tally.events.count(),
            event_repeats: tally.event_repeats,
            last_event: tally.events.last().unwrap_or(0),
        }
    }

    fn key(&self) -> (&str, u64) {
        (&self.device, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, intervals: &[(u64, u64)], repeats: u64) -> DeviceStats {
        device_from(name, 1, intervals, repeats)
    }

    fn device_from(name: &str, begins: u64, received: &[(u64, u64)], repeats: u64) -> DeviceStats {
        let mut tally = Tally { repeats, begins, ..Tally::default() };
        for (first, last) in received {
            tally.readings.insert(*first, *last);
        }
        DeviceStats::new(name.into(), 1, &tally)
    }

    #[test]
    fn an_epoch_that_goes_on_with_an_older_numbering_lacks_nothing_before_it() {
        let gaps = |received| device_from("a", 10, received, 0).gaps;
        assert_eq!(gaps(&[(10, 12)]), []);
        assert_eq!(gaps(&[(12, 13), (15, 15)]), [(10, 11), (14, 14)]);
        // A sender that sends earlier numbers all the same changes nothing.
        assert_eq!(gaps(&[(2, 3), (6, 7), (12, 12)]), [(10, 11)]);
        assert_eq!(device_from("a", 10, &[(2, 3), (6, 7), (12, 12)], 0).missing, 2);
        assert_eq!(device_from("a", 10, &[(2, 3)], 0).missing, 0);
        assert_eq!(device_from("a", 10, &[], 0).missing, 0);
    }

    #[test]
    fn what_lies_before_the_first_number_is_missing_too() {
        let stats = device("a", &[(3, 4), (8, 9)], 0);
        assert_eq!((stats.unique, stats.missing), (4, 5));
        assert_eq!((stats.first_seq, stats.last_seq), (3, 9));
        assert_eq!(stats.gaps, [(1, 2), (5, 7)]);
    }

    #[test]
    fn a_device_that_sent_nothing_lacks_nothing() {
        let stats = device("a", &[], 0);
        assert_eq!((stats.unique, stats.missing, stats.last_seq), (0, 0, 0));
        assert_eq!(stats.gaps, []);
    }

    #[test]
    fn at_most_a_hundred_gaps_are_listed() {
        let odd: Vec<_> = (0..200).map(|n| (2 * n + 1, 2 * n + 1)).collect();
        let stats = device("a", &odd, 0);
        assert_eq!((stats.gaps.len(), stats.missing), (100, 199));
    }

    #[test]
    fn updates_replace_and_sums_follow() {
        let mut stats = Stats::default();
        stats.update([device("b", &[(1, 5)], 1), device("a", &[(2, 2)], 0)]);
        stats.update([device("b", &[(1, 9)], 2)]);
        assert_eq!((stats.unique, stats.repeats, stats.missing), (10, 2, 1));
        let names: Vec<_> = stats.devices.iter().map(|device| device.device.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
