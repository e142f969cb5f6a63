//! Exponential backoff with full jitter.
//!
//! The wait is drawn from all of (0, ceiling], also once the ceiling has stopped growing: devices
//! that lost the same server together must not come back together. (Source: AWS Architecture Blog,
//! "Exponential Backoff and Jitter".)

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub first: Duration,
    pub factor: f64,
    pub max: Duration,
}

impl Backoff {
    /// The most that attempt number `attempt` (from 0) waits.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        Duration::from_secs_f64(seconds.min(self.max.as_secs_f64()))
    }

    pub fn wait(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        // 1 - [0, 1) is (0, 1]: never an immediate retry.
        self.ceiling(attempt).mul_f64(1.0 - rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(60) };

    #[test]
    fn ceilings_grow_to_the_maximum_and_stay() {
        let ceilings: Vec<_> = (0..8).map(|attempt| BACKOFF.ceiling(attempt).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACKOFF.ceiling(u32::MAX).as_secs(), 60);
    }

    #[test]
    fn jitter_is_still_full_at_the_maximum() {
        let mut rng = fastrand::Rng::with_seed(7);
        let waits: Vec<_> = (0..1000).map(|_| BACKOFF.wait(50, &mut rng).as_secs_f64()).collect();
        let quarter =
            |from: f64| waits.iter().filter(|wait| **wait > from && **wait <= from + 15.0).count();
        for from in [0.0, 15.0, 30.0, 45.0] {
            assert!((200..300).contains(&quarter(from)), "{} waits above {from} s", quarter(from));
        }
    }
}
