//! Proof of progress: a heartbeat that every actor gives from its own loop.
//!
//! The supervisor checks liveness now and then; an actor answers by polling [`Heartbeat::answer`]
//! among its other work. A stuck actor does not answer, and neither a timer nor a thread that still
//! runs can answer for it. Idle actors wake once per check and not otherwise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// One actor's end.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    check: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Waits for the next liveness check and answers it. Cancel-safe.
    pub async fn answer(&mut self) {
        if self.check.changed().await.is_err() {
            // There are no more checks: the process is ending.
            std::future::pending::<()>().await;
        }
        self.answered.store(*self.check.borrow_and_update(), Ordering::Relaxed);
    }
}

/// The supervisor's end, which handlers of `/health` share.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    check: watch::Sender<u64>,
    actors: Arc<Mutex<Vec<Actor>>>,
}

/// An actor's name and the last check it answered.
type Actor = (String, Arc<AtomicU64>);

impl Liveness {
    /// A heartbeat for an actor; a restarted actor takes over its predecessor's.
    pub(crate) fn register(&self, name: &str) -> Heartbeat {
        let answered = Arc::new(AtomicU64::new(*self.check.borrow()));
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
        actors.push((name.to_owned(), Arc::clone(&answered)));
        Heartbeat { check: self.check.subscribe(), answered }
    }

    /// An actor that has ended need not answer.
    pub(super) fn retire(&self, name: &str) {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
    }

    pub(crate) fn check(&self) {
        self.check.send_modify(|check| *check += 1);
    }

    /// The actors that are running.
    pub fn actors(&self) -> Vec<String> {
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The actors that make no progress.
    pub fn stuck(&self) -> Vec<String> {
        let asked = *self.check.borrow();
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        let late =
            actors.iter().filter(|(_, answered)| is_stuck(asked, answered.load(Ordering::Relaxed)));
        late.map(|(name, _)| name.clone()).collect()
    }
}

/// Whether an actor that answered the check `answered` is stuck, given the newest check `asked`.
/// One check of grace: its answer may still be on the way.
fn is_stuck(asked: u64, answered: u64) -> bool {
    answered + 1 < asked
}

impl Heartbeat {
    /// A heartbeat that nobody takes, for actors run without a supervisor.
    pub fn unwatched() -> Self {
        Liveness::default().register("unwatched")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_one_check_of_grace() {
        assert!(!is_stuck(0, 0));
        assert!(!is_stuck(1, 0));
        assert!(is_stuck(2, 0));
        assert!(!is_stuck(7, 6));
        assert!(is_stuck(7, 5));
    }

    #[tokio::test]
    async fn an_actor_that_does_not_answer_is_named() {
        let liveness = Liveness::default();
        let mut busy = liveness.register("busy");
        let _stuck = liveness.register("stuck");
        for _ in 0..2 {
            liveness.check();
            busy.answer().await;
        }
        assert_eq!(liveness.stuck(), ["stuck"]);
        assert_eq!(liveness.actors(), ["busy", "stuck"]);
        liveness.retire("stuck");
        assert!(liveness.stuck().is_empty());
    }
}
