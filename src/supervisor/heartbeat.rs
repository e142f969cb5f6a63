//! Proof of progress: every actor answers a heartbeat from its own loop.
//!
//! The supervisor checks liveness at intervals; an actor answers by polling [`Heartbeat::answer`] among its
//! other work. A stuck actor does not answer, and neither a timer nor a thread that still runs can answer
//! in its place. An idle actor wakes once per check and not otherwise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The actor's end of the heartbeat.
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

/// The supervisor's end of all heartbeats; the handlers of `/health` share it.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    check: watch::Sender<u64>,
    actors: Arc<Mutex<Vec<Actor>>>,
}

/// An actor's name and the last check it answered.
type Actor = (String, Arc<AtomicU64>);

impl Liveness {
    /// Returns the heartbeat of an actor. A restarted actor replaces its predecessor's.
    pub(crate) fn register(&self, name: &str) -> Heartbeat {
        let answered = Arc::new(AtomicU64::new(*self.check.borrow()));
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
        actors.push((name.to_owned(), Arc::clone(&answered)));
        Heartbeat { check: self.check.subscribe(), answered }
    }

    /// Removes an actor that has ended, so that no answer is expected of it.
    pub(super) fn retire(&self, name: &str) {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
    }

    /// Starts a new check, which every registered actor has to answer.
    pub(crate) fn check(&self) {
        self.check.send_modify(|check| *check += 1);
    }

    /// The names of the running actors.
    pub fn actors(&self) -> Vec<String> {
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The names of the actors that did not answer the check before the newest one.
    pub fn stuck(&self) -> Vec<String> {
        let asked = *self.check.borrow();
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        let late =
            actors.iter().filter(|(_, answered)| is_stuck(asked, answered.load(Ordering::Relaxed)));
        late.map(|(name, _)| name.clone()).collect()
    }
}

/// Whether an actor is stuck that last answered the check `answered`, where `asked` is the newest check.
/// There is one check of grace, because the answer to the newest may still be on its way.
fn is_stuck(asked: u64, answered: u64) -> bool {
    answered + 1 < asked
}

impl Heartbeat {
    /// A heartbeat that is never checked, for actors that run without a supervisor.
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
