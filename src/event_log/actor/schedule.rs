//! Decides when the next commit is due.

use std::time::Duration;

use tokio::time::Instant;

/// How long storage that failed is left alone before the next attempt.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Two times: that of the next commit, and that by which changes that can wait must be part of one.
#[derive(Debug, Default)]
pub(crate) struct CommitSchedule {
    commit_at: Option<Instant>,
    /// When acknowledgements, and intake without readings, are due.
    deferred_at: Option<Instant>,
}

impl CommitSchedule {
    /// Schedules a commit within this time.
    pub(crate) fn within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.commit_at = Some(self.commit_at.map_or(at, |known| known.min(at)));
    }

    /// Schedules a commit of deferred changes within this time, unless one is scheduled already.
    pub(crate) fn defer_within(&mut self, time: Duration) {
        self.deferred_at.get_or_insert(Instant::now() + time);
    }

    /// Puts the next attempt off after a failure.
    pub(crate) fn retry(&mut self) {
        self.commit_at = Some(Instant::now() + RETRY);
    }

    /// Returns when to wake. While commits fail, deferred changes wait for the next attempt.
    pub(crate) fn next(&self, is_failing: bool) -> Option<Instant> {
        let deferred_at = self.deferred_at.filter(|_| !is_failing);
        self.commit_at.into_iter().chain(deferred_at).min()
    }

    /// Begins a commit. Returns whether it must take the deferred changes along.
    pub(crate) fn begin(&mut self) -> bool {
        self.commit_at = None;
        self.deferred_at.is_some_and(|at| at <= Instant::now())
    }

    /// Records that no deferred changes are left.
    pub(crate) fn deferred_done(&mut self) {
        self.deferred_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_soonest_time_decides_and_a_commit_fulfils_it() {
        let mut schedule = CommitSchedule::default();
        let now = Instant::now();
        schedule.within(5 * SECOND);
        schedule.within(2 * SECOND);
        schedule.within(9 * SECOND);
        assert_eq!(schedule.next(false), Some(now + 2 * SECOND));
        assert!(!schedule.begin());
        assert_eq!(schedule.next(false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_no_hurry_keeps_its_time_and_waits_while_commits_fail() {
        let mut schedule = CommitSchedule::default();
        let now = Instant::now();
        schedule.defer_within(10 * SECOND);
        tokio::time::advance(4 * SECOND).await;
        schedule.defer_within(10 * SECOND);
        assert_eq!(schedule.next(false), Some(now + 10 * SECOND));
        assert_eq!(schedule.next(true), None);
        schedule.retry();
        assert_eq!(schedule.next(true), Some(now + 4 * SECOND + RETRY));
        tokio::time::advance(6 * SECOND).await;
        assert!(schedule.begin());
        schedule.deferred_done();
        assert_eq!(schedule.next(false), None);
    }
}
