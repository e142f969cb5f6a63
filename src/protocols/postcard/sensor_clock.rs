//! Converts the times of a sensor's own clock to ours.
//!
//! A sample has the time at which it was taken, on a clock that started with the sensor, and it arrives
//! after some delay. The smallest delay seen gives the best estimate of the offset between the clocks. So
//! timestamps have the regularity of the sensor instead of the jitter of the line. The estimate may rise
//! slowly, because two quartzes drift apart (100 ppm covers cheap ones).

use serde::{Deserialize, Serialize};

/// The time in milliseconds in which the offset may rise by one millisecond.
const DRIFT_MS_PER_MS: i64 = 10_000;
/// A sensor clock this many milliseconds behind its expected time was restarted; no line delays a sample as
/// much.
const RESTART_MS: i64 = 60_000;

/// A sample less than this many milliseconds before the last one is out of order inside the sensor, and no
/// sign of a restart.
const REORDERED_MS: u32 = 100;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sync {
    /// Our clock minus the sensor's, at the smallest delay.
    offset_ms: i64,
    uptime_ms: u32,
    /// The full turns of the sensor's 32-bit clock so far, in milliseconds.
    turns_ms: i64,
    raised_at_ms: i64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct SensorClock(Option<Sync>);

/// When a sample was taken, in milliseconds since boot on our clock, and whether the sensor restarted
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) at_ms: i64,
    pub(super) restarted: bool,
}

impl SensorClock {
    pub(super) fn read(&mut self, uptime_ms: u32, arrived_ms: i64) -> Taken {
        let Some(mut sync) = self.0 else {
            self.0 = Some(Sync::start(uptime_ms, arrived_ms));
            return Taken { at_ms: arrived_ms, restarted: false };
        };
        if sync.uptime_ms.wrapping_sub(uptime_ms) < REORDERED_MS {
            // Two tasks of the sensor took their times and sent their samples in different order.
            return Taken { at_ms: sync.now(uptime_ms).min(arrived_ms), restarted: false };
        }
        let advanced = uptime_ms.wrapping_sub(sync.uptime_ms);
        let wrapped = uptime_ms < sync.uptime_ms;
        // As an unsigned distance, a clock that was set back seems to have advanced by nearly 2^32.
        if wrapped && !plausible(advanced, arrived_ms - sync.now(sync.uptime_ms)) {
            self.0 = Some(Sync::start(uptime_ms, arrived_ms));
            return Taken { at_ms: arrived_ms, restarted: true };
        }
        if wrapped {
            sync.turns_ms += 1 << 32;
        }
        sync.uptime_ms = uptime_ms;
        sync.adjust(arrived_ms);
        self.0 = Some(sync);
        Taken { at_ms: sync.now(uptime_ms).min(arrived_ms), restarted: false }
    }
}

fn plausible(advanced_ms: u32, elapsed_ms: i64) -> bool {
    (i64::from(advanced_ms) - elapsed_ms).abs() < RESTART_MS
}

impl Sync {
    fn start(uptime_ms: u32, arrived_ms: i64) -> Self {
        let offset_ms = arrived_ms - i64::from(uptime_ms);
        Self { offset_ms, uptime_ms, turns_ms: 0, raised_at_ms: arrived_ms }
    }

    fn now(&self, uptime_ms: u32) -> i64 {
        self.turns_ms + i64::from(uptime_ms) + self.offset_ms
    }

    fn adjust(&mut self, arrived_ms: i64) {
        let delay = arrived_ms - self.now(self.uptime_ms);
        if !(0..RESTART_MS).contains(&delay) {
            // The arrival is earlier than any estimate, or late by a minute, which no line explains: start
            // again from here.
            self.offset_ms += delay;
            self.raised_at_ms = arrived_ms;
            return;
        }
        let allowed = (arrived_ms - self.raised_at_ms) / DRIFT_MS_PER_MS;
        if allowed > 0 {
            self.offset_ms += allowed.min(delay);
            self.raised_at_ms += allowed * DRIFT_MS_PER_MS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &mut SensorClock, uptime_ms: u32, arrived_ms: i64) -> i64 {
        clock.read(uptime_ms, arrived_ms).at_ms
    }

    #[test]
    fn the_line_s_jitter_is_taken_out() {
        let mut clock = SensorClock::default();
        at(&mut clock, 0, 1_000);
        assert_eq!(at(&mut clock, 100, 1_107), 1_100);
        assert_eq!(at(&mut clock, 200, 1_230), 1_200);
        assert_eq!(at(&mut clock, 300, 1_300), 1_300);
    }

    #[test]
    fn an_earlier_arrival_corrects_the_offset() {
        let mut clock = SensorClock::default();
        at(&mut clock, 0, 1_050);
        assert_eq!(at(&mut clock, 100, 1_100), 1_100);
        assert_eq!(at(&mut clock, 200, 1_260), 1_200);
    }

    #[test]
    fn a_slow_sensor_clock_is_followed() {
        let mut clock = SensorClock::default();
        for second in 0..100_000u32 {
            // The sensor counts 999.95 ms in each of our seconds.
            let uptime = second * 1000 - second / 20;
            let taken = at(&mut clock, uptime, i64::from(second) * 1000);
            assert!((taken - i64::from(second) * 1000).abs() <= 2, "second {second}: {taken}");
        }
    }

    #[test]
    fn a_restart_is_seen_and_a_turn_of_the_counter_is_not_one() {
        let mut clock = SensorClock::default();
        at(&mut clock, u32::MAX - 50, 10_000_000);
        assert_eq!(clock.read(49, 10_000_100), Taken { at_ms: 10_000_100, restarted: false });
        at(&mut clock, 500_000, 10_500_051);
        assert_eq!(clock.read(3, 10_501_000), Taken { at_ms: 10_501_000, restarted: true });
    }
}
