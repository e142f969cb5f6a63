//! Spaces out the first requests after a recovery: far apart, then closer, then without a gap.
//!
//! A server that has just come back gets the backlogs of all its clients at once. Their probes are spread
//! already; the ramp keeps a client whose probe succeeded from sending everything else in the same instant,
//! and lets it notice a relapse after one request instead of many. The ramp costs 94 ms on average and 188
//! ms at most, once per recovery: the first delivery is the probe itself and does not wait, and a drain of
//! a million readings takes a second of its own.

use std::time::Duration;

const GAP_MAX: Duration = Duration::from_millis(100);
/// The ceiling of the gap halves with each success, so the fifth request after the probe has no gap.
const STEPS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    step: u32,
    next_at: Duration,
}

impl Default for Ramp {
    /// Starts at the end of the ramp: where nothing has failed, nothing has to recover.
    fn default() -> Self {
        Self { step: STEPS, next_at: Duration::ZERO }
    }
}

impl Ramp {
    /// Starts the ramp, because a breaker has closed.
    pub fn begin(&mut self, now: Duration, rng: &mut fastrand::Rng) {
        self.step = 0;
        self.draw(now, rng);
    }

    pub fn succeeded(&mut self, now: Duration, rng: &mut fastrand::Rng) {
        if self.step < STEPS {
            self.step += 1;
            self.draw(now, rng);
        }
    }

    /// The moment from which the next request may be sent.
    pub fn ready_at(&self) -> Duration {
        self.next_at
    }

    fn draw(&mut self, now: Duration, rng: &mut fastrand::Rng) {
        self.next_at = match self.step {
            STEPS => now,
            step => now + (GAP_MAX / (1 << step)).mul_f64(1.0 - rng.f64()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long each request waits if it is made as soon as the one before has succeeded.
    fn gaps(seed: u64) -> Vec<Duration> {
        let (mut ramp, mut rng) = (Ramp::default(), fastrand::Rng::with_seed(seed));
        let mut now = Duration::from_secs(1000);
        ramp.begin(now, &mut rng);
        let mut gaps = Vec::new();
        for _ in 0..6 {
            gaps.push(ramp.ready_at().saturating_sub(now));
            now = now.max(ramp.ready_at());
            ramp.succeeded(now, &mut rng);
        }
        gaps
    }

    #[test]
    fn gaps_shrink_to_nothing_within_four_requests() {
        for seed in 0..100 {
            let gaps = gaps(seed);
            for (gap, ceiling) in gaps.iter().zip([100.0, 50.0, 25.0, 12.5]) {
                let gap = gap.as_secs_f64() * 1000.0;
                assert!(gap > 0.0 && gap <= ceiling, "{gap} ms of {ceiling} with seed {seed}");
            }
            assert_eq!(gaps[4..], [Duration::ZERO; 2]);
        }
    }

    #[test]
    fn a_recovery_costs_a_tenth_of_a_second_on_average() {
        let all: Duration = (0..1000).flat_map(gaps).sum();
        let mean = all / 1000;
        assert!(mean > Duration::from_millis(85) && mean < Duration::from_millis(103), "{mean:?}");
    }

    #[test]
    fn without_a_recovery_nothing_waits() {
        let mut ramp = Ramp::default();
        ramp.succeeded(Duration::from_secs(5), &mut fastrand::Rng::with_seed(1));
        assert_eq!(ramp.ready_at(), Duration::ZERO);
    }
}
