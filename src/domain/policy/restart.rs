//! The restart budget: how often an actor may crash before it is given up.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;

#[derive(Clone, Debug)]
pub struct RestartBudget {
    restarts_max: usize,
    window: Duration,
    wait: Backoff,
    recent: VecDeque<Duration>,
}

impl RestartBudget {
    pub fn new(restarts_max: usize, window: Duration) -> Self {
        let wait = Backoff {
            first: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(10),
        };
        Self { restarts_max, window, wait, recent: VecDeque::new() }
    }

    /// A budget for an actor that must not be started again.
    pub fn none() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// Spends one restart and returns the wait before it, or `None` when the budget is spent.
    pub fn spend(&mut self, now: Duration, rng: &mut fastrand::Rng) -> Option<Duration> {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= self.window) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.restarts_max {
            return None;
        }
        let attempt = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        self.recent.push_back(now);
        Some(self.wait.wait(attempt, rng))
    }
}

impl Default for RestartBudget {
    /// Five restarts in a minute: enough for bad luck, too few for a crash loop to hide.
    fn default() -> Self {
        Self::new(5, Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_spent_by_a_crash_loop_and_renewed_by_time() {
        let mut budget = RestartBudget::new(2, Duration::from_secs(60));
        let mut rng = fastrand::Rng::with_seed(1);
        let mut spend = |seconds| budget.spend(Duration::from_secs(seconds), &mut rng).is_some();
        assert!(spend(0));
        assert!(spend(1));
        assert!(!spend(2));
        assert!(!spend(59));
        assert!(spend(60));
        assert!(!spend(60));
        assert!(spend(61));
    }
}
