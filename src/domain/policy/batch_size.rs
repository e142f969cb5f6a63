//! Decides how large the next batch may be.
//!
//! There are three bounds, each a share of what is configured, and the smallest one holds:
//!
//! - **trust in the link**: at the start and after a failure the next batch is a small probe, and each
//!   success allows four times as much. After a probe that fails, the next one has half its size, so that
//!   in the end some batch passes in time on any link.
//! - **what the server calls too large**: half of that size, and then slowly more again, because the
//!   server, or a proxy before it, may change.
//! - **how long a request takes**: about a second, so that an alarm or a fresh reading never waits long
//!   behind the backlog.

use std::time::Duration;

/// The most that a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub readings_max: u64,
    pub bytes_max: usize,
}

/// How long a request should take.
const TARGET: Duration = Duration::from_secs(1);
/// The least share of `TARGET` that is left for sending. Without it, a round trip that takes a second alone
/// would shrink batches to nothing.
const SENDING_MIN: f64 = 0.25;
const PROBE_READINGS: f64 = 256.0;
const GROWTH: f64 = 4.0;
/// The growth of `cap` with each success: it doubles in about 180 batches, so a server that does not change
/// refuses one batch in about 180.
const CAP_RECOVERY: f64 = 1.0 + 1.0 / 256.0;

#[derive(Clone, Debug)]
pub struct BatchSize {
    most: Limits,
    /// Shares of `most`.
    trusted: f64,
    cap: f64,
    link: Link,
}

impl BatchSize {
    pub fn new(most: Limits) -> Self {
        let mut size = Self { most, trusted: 1.0, cap: 1.0, link: Link::default() };
        size.trusted = size.probe();
        size
    }

    pub fn limits(&self) -> Limits {
        let share = self.trusted.min(self.cap).min(self.link.share());
        let share = share.clamp(self.least(), 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of what was a whole number before, and not negative"
        )]
        let part = |of: f64| ((of * share) as u64).max(1);
        Limits {
            readings_max: part(self.most.readings_max as f64),
            bytes_max: usize::try_from(part(self.most.bytes_max as f64)).unwrap_or(usize::MAX),
        }
    }

    /// Records that a batch of this size was delivered. `took` is the time of the request, if one request
    /// carried the batch and its time is known.
    pub fn accepted(&mut self, sent: Limits, took: Option<Duration>) {
        self.trusted = (self.trusted * GROWTH).min(1.0);
        self.cap = (self.cap * CAP_RECOVERY).min(1.0);
        if let Some(took) = took {
            self.link.note(self.share_of(sent), took);
        }
    }

    /// Records that a batch of this size got no answer, or was refused for the time being. `slow` says that
    /// its size may be the reason.
    pub fn failed(&mut self, sent: Limits, slow: bool) {
        let (share, probe) = (self.share_of(sent), self.probe());
        let halved = if slow { share / 2.0 } else { probe };
        self.trusted = halved.min(probe).max(self.least());
    }

    /// Records that a batch of this size is too large for the server.
    pub fn too_large(&mut self, sent: Limits) {
        self.cap = (self.share_of(sent) / 2.0).clamp(self.least(), self.cap);
    }

    fn share_of(&self, sent: Limits) -> f64 {
        let readings = sent.readings_max as f64 / self.most.readings_max.max(1) as f64;
        readings.max(sent.bytes_max as f64 / self.most.bytes_max.max(1) as f64)
    }

    fn probe(&self) -> f64 {
        (self.least() * PROBE_READINGS).min(1.0)
    }

    /// The share of one reading.
    fn least(&self) -> f64 {
        1.0 / self.most.readings_max.max(1) as f64
    }
}

/// The time that requests take on this link, as a straight line over their size: least squares over the
/// last requests, with the weight of older ones fading. A mean of bytes per second would count the round
/// trip as slow sending, send less, and find the link slower still.
#[derive(Clone, Debug, Default)]
struct Link {
    noted: bool,
    /// The means of size, seconds, size², and size · seconds.
    size: f64,
    seconds: f64,
    square: f64,
    product: f64,
    /// Seconds for a size of 1, without the round trip.
    slope: Option<f64>,
    /// Whether `slope` was computed from different sizes, and is not the first guess.
    compared: bool,
}

/// The weight of the last request in the means.
const FRESH: f64 = 1.0 / 8.0;
/// The least spread of the sizes, as a share of their mean, from which a slope can be computed.
const SPREAD_MIN: f64 = 0.1;
/// By what factor a time must differ from the expected one to show that the link has changed.
const SURPRISE: f64 = 2.0;

impl Link {
    fn note(&mut self, size: f64, took: Duration) {
        let seconds = took.as_secs_f64();
        if self.is_surprised(size, seconds) {
            *self = Self::default();
        }
        let weight = if self.noted { FRESH } else { 1.0 };
        self.noted = true;
        let means = [
            (&mut self.size, size),
            (&mut self.seconds, seconds),
            (&mut self.square, size * size),
            (&mut self.product, size * seconds),
        ];
        for (mean, now) in means {
            *mean += weight * (now - *mean);
        }
        let variance = self.square - self.size * self.size;
        if variance > (SPREAD_MIN * self.size).powi(2) {
            self.slope = Some((self.product - self.size * self.seconds) / variance);
            self.compared = true;
        } else if self.slope.is_none() && seconds >= TARGET.as_secs_f64() * SENDING_MIN {
            // There is nothing to compare with yet, and all of the time may have been sending.
            self.slope = Some(seconds / size);
        }
    }

    /// Says whether the slope is wrong in a way that matters: requests take too long, or could be larger.
    fn is_surprised(&self, size: f64, seconds: f64) -> bool {
        let (Some(slope), target) = (self.slope, TARGET.as_secs_f64()) else { return false };
        let expected = self.round_trip(slope) + slope.max(0.0) * size;
        // A first guess that was too low is corrected by comparing sizes, and not by a second guess.
        let slower = self.compared && seconds > target && seconds > SURPRISE * expected;
        slower || (expected > target / SURPRISE && expected > SURPRISE * seconds)
    }

    fn round_trip(&self, slope: f64) -> f64 {
        (self.seconds - slope.max(0.0) * self.size).max(0.0)
    }

    /// The size of a request that takes about `TARGET`.
    fn share(&self) -> f64 {
        match self.slope {
            Some(slope) if slope > 0.0 => {
                let target = TARGET.as_secs_f64();
                (target - self.round_trip(slope)).max(target * SENDING_MIN) / slope
            }
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Limits = Limits { readings_max: 65_536, bytes_max: 256 << 10 };

    /// A link with a round trip in seconds and a rate in readings per second.
    struct Wire {
        size: BatchSize,
        round_trip: f64,
        rate: f64,
        timeout: f64,
    }

    impl Wire {
        fn new(round_trip: f64, rate: f64) -> Self {
            Self { size: BatchSize::new(MOST), round_trip, rate, timeout: 30.0 }
        }

        /// Sends as much as is allowed. Returns the size and the seconds, which are `None` after a timeout.
        fn send(&mut self) -> (u64, Option<f64>) {
            let sent = self.size.limits();
            let took = self.round_trip + sent.readings_max as f64 / self.rate;
            if took > self.timeout {
                self.size.failed(sent, true);
                return (sent.readings_max, None);
            }
            self.size.accepted(sent, Some(Duration::from_secs_f64(took)));
            (sent.readings_max, Some(took))
        }
    }

    fn some(readings_max: u64) -> Limits {
        Limits { readings_max, bytes_max: 1 }
    }

    #[test]
    fn it_begins_small_and_grows_fourfold_to_what_is_configured() {
        let mut wire = Wire::new(0.001, 1e9);
        let sizes: Vec<u64> = (0..6).map(|_| wire.send().0).collect();
        assert_eq!(sizes, [256, 1024, 4096, 16_384, 65_536, 65_536]);
        assert_eq!(wire.size.limits(), MOST);
        wire.size.failed(MOST, false);
        assert_eq!(wire.size.limits().readings_max, 256);
    }

    #[test]
    fn a_request_takes_about_a_second_on_a_slow_link() {
        for (round_trip, rate) in [(0.05, 500.0), (0.6, 2000.0), (0.0, 100.0), (0.3, 20_000.0)] {
            let mut wire = Wire::new(round_trip, rate);
            let last: Vec<f64> = (0..40).filter_map(|_| wire.send().1).collect();
            let last = &last[last.len() - 10..];
            assert!(last.iter().all(|took| (0.5..=1.5).contains(took)), "{rate}/s: {last:?}");
        }
    }

    #[test]
    fn a_long_round_trip_does_not_shrink_batches_to_nothing() {
        let mut wire = Wire::new(3.0, 10_000.0);
        let sizes: Vec<u64> = (0..60).map(|_| wire.send().0).collect();
        assert!(sizes[20..].iter().all(|size| *size >= 1500), "{sizes:?}");
    }

    #[test]
    fn on_a_link_too_slow_for_a_probe_some_batch_passes_at_last_and_the_next_ones_too() {
        let mut wire = Wire::new(1.0, 2.0);
        let sent: Vec<_> = (0..30).map(|_| wire.send()).collect();
        let failed = sent.iter().take_while(|(_, took)| took.is_none()).count();
        assert_eq!(failed, 3, "256, 128, 64 take more than 30 s: {sent:?}");
        let late = sent[failed..].iter().filter(|(_, took)| took.is_none()).count();
        assert!(late <= 1, "{sent:?}");
    }

    #[test]
    fn a_link_that_turned_slow_is_given_less_and_one_that_recovered_more() {
        let mut wire = Wire::new(0.02, 1e6);
        for _ in 0..20 {
            wire.send();
        }
        assert_eq!(wire.send().0, 65_536);
        wire.rate = 1000.0;
        let sent: Vec<_> = (0..30).map(|_| wire.send()).collect();
        assert!(sent[10..].iter().all(|(_, took)| took.is_some_and(|took| took < 2.0)), "{sent:?}");
        wire.rate = 1e6;
        for _ in 0..60 {
            wire.send();
        }
        assert_eq!(wire.send().0, 65_536);
    }

    #[test]
    fn what_is_too_large_is_halved_remembered_and_slowly_tried_again() {
        let mut size = BatchSize::new(MOST);
        (0..5).for_each(|_| size.accepted(some(1), None));
        size.too_large(MOST);
        assert_eq!(size.limits().readings_max, 32_768);
        size.too_large(some(32_768));
        assert_eq!(size.limits().readings_max, 16_384);
        size.too_large(MOST);
        assert_eq!(size.limits().readings_max, 16_384, "an older answer makes it no larger");
        (0..10).for_each(|_| size.accepted(some(1), None));
        assert!((16_385..18_000).contains(&size.limits().readings_max));
        (0..400).for_each(|_| size.accepted(some(1), None));
        assert_eq!(size.limits(), MOST);
    }

    #[test]
    fn it_never_asks_for_nothing() {
        for most in [MOST, Limits { readings_max: 1, bytes_max: 1024 }] {
            let mut size = BatchSize::new(most);
            (0..100).for_each(|_| size.failed(size.limits(), true));
            (0..100).for_each(|_| size.too_large(size.limits()));
            let limits = size.limits();
            assert!(limits.readings_max == 1 && limits.bytes_max >= 1, "{limits:?}");
        }
    }
}
