//! What was received and what is missing, as `/stats` tells it.

use serde::Serialize;

use crate::domain::delivery::IntervalSet;

/// Gaps listed per device: enough to see a pattern, little enough to read.
const GAPS_MAX: usize = 100;

/// Sums over all devices, and each of them by (device, epoch), ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub unique: u64,
    pub repeats: u64,
    /// Numbers absent between 1 and the last one received.
    pub missing: u64,
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
    /// The first hundred runs of missing numbers, both ends included.
    pub gaps: Vec<(u64, u64)>,
}

impl Stats {
    /// Replaces what was known of these devices.
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
    }
}

impl DeviceStats {
    pub(super) fn new(device: String, epoch: u64, received: &IntervalSet, repeats: u64) -> Self {
        let first_seq = received.intervals().first().map_or(0, |(first, _)| *first);
        let (last_seq, unique) = (received.last().unwrap_or(0), received.count());
        // A device numbers from 1, so what it never sent at the start is missing too.
        let head = (first_seq > 1).then(|| (1, first_seq - 1));
        let gaps = head.into_iter().chain(received.gaps()).take(GAPS_MAX).collect();
        let missing = last_seq - unique;
        Self { device, epoch, unique, repeats, missing, first_seq, last_seq, gaps }
    }

    fn key(&self) -> (&str, u64) {
        (&self.device, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, intervals: &[(u64, u64)], repeats: u64) -> DeviceStats {
        let mut received = IntervalSet::default();
        for (first, last) in intervals {
            received.insert(*first, *last);
        }
        DeviceStats::new(name.into(), 1, &received, repeats)
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
