//! Exponential backoff with full jitter.
//!
//! The wait is drawn from all of (0, ceiling], also after the ceiling has stopped growing: devices that
//! lost the same server together must not come back together. (Source: AWS Architecture Blog, "Exponential
//! Backoff and Jitter".)

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub first: Duration,
    pub factor: f64,
    pub max: Duration,
}

impl Backoff {
    /// The longest wait before attempt number `attempt`, counted from 0.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        Duration::from_secs_f64(seconds.min(self.max.as_secs_f64()))
    }

    pub fn wait(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        // 1 - [0, 1) is (0, 1], so a retry is never immediate.
        self.ceiling(attempt).mul_f64(1.0 - rng.f64())
    }
}

/// Makes the seed of a device's jitter from the names that identify it and from the entropy at hand.
///
/// Neither is enough alone. Boards with one image that boot together may be given equal entropy, since the
/// kernel hands some out before it has gathered any. Boards that were cloned with one device id differ in
/// their entropy only.
pub fn jitter_seed(names: &[&str], entropy: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in names {
        hasher.write(name.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.write_u64(entropy);
    hasher.finish()
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

    #[test]
    fn devices_with_equal_entropy_draw_different_waits() {
        let first = |device: &str| {
            let seed = jitter_seed(&[device, "cloud", "http://h"], 0);
            BACKOFF.wait(6, &mut fastrand::Rng::with_seed(seed)).as_millis()
        };
        let waits: Vec<_> = (0..1000).map(|number| first(&format!("board-{number}"))).collect();
        for tenth in 0..10 {
            let from = tenth * 6000;
            let count = waits.iter().filter(|wait| (from..from + 6000).contains(*wait)).count();
            assert!((60..140).contains(&count), "{count} waits above {from} ms");
        }
    }

    #[test]
    fn devices_of_one_name_differ_by_entropy_and_names_are_not_run_together() {
        assert_ne!(jitter_seed(&["d"], 1), jitter_seed(&["d"], 2));
        assert_ne!(jitter_seed(&["ab", "c"], 1), jitter_seed(&["a", "bc"], 1));
    }
}
