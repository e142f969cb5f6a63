//! A token bucket that is charged afterwards, because the cost of a request is known only once it was made.
//!
//! A request may go whenever there is no debt, and its bytes are then paid back at the rate. Over any time
//! the bytes stay below rate × time + one second's worth + the bytes of the last request.

use std::time::Duration;

/// How many seconds' worth of credit may be saved up while nothing is sent.
const SAVED_MAX_S: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenBucket {
    /// Bytes per second.
    rate: f64,
    /// Bytes; below zero they are a debt.
    credit: f64,
    /// The moment for which `credit` holds.
    at: Duration,
}

impl TokenBucket {
    /// `rate` is in bytes per second; 0 counts as 1.
    pub fn new(rate: u64, now: Duration) -> Self {
        Self { rate: rate.max(1) as f64, credit: 0.0, at: now }
    }

    pub fn spend(&mut self, bytes: u64, now: Duration) {
        self.credit = self.credit_at(now) - bytes as f64;
        self.at = self.at.max(now);
    }

    /// The moment when the debt is paid; it is in the past if there is none.
    pub fn ready_at(&self) -> Duration {
        let debt = (-self.credit / self.rate).clamp(0.0, f64::from(u32::MAX));
        self.at + Duration::from_secs_f64(debt)
    }

    fn credit_at(&self, now: Duration) -> f64 {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        (self.credit + earned).min(self.rate * SAVED_MAX_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_sent_is_paid_back_at_the_rate() {
        let mut bucket = TokenBucket::new(1000, seconds(0));
        assert_eq!(bucket.ready_at(), seconds(0), "the first request is free to go");
        bucket.spend(5000, seconds(0));
        assert_eq!(bucket.ready_at(), seconds(5));
        bucket.spend(1000, seconds(3));
        assert_eq!(bucket.ready_at(), seconds(6));
    }

    #[test]
    fn no_more_than_a_second_is_saved_up() {
        let mut bucket = TokenBucket::new(1000, seconds(0));
        bucket.spend(3000, seconds(3600));
        assert_eq!(bucket.ready_at(), seconds(3602));
    }

    #[test]
    fn an_hour_at_full_tilt_keeps_to_the_rate() {
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut bucket, mut now, mut sent, mut last) =
            (TokenBucket::new(1000, seconds(0)), seconds(0), 0, 0);
        while now < seconds(3600) {
            now = now.max(bucket.ready_at());
            last = rng.u64(1..20_000);
            sent += last;
            bucket.spend(last, now);
        }
        let allowed = 3600 * 1000 + 1000 + 2 * last.max(20_000);
        assert!(sent <= allowed && sent > 3_550_000, "{sent} of {allowed}");
    }
}
