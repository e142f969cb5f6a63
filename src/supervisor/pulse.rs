//! Proof of progress: rounds that every actor answers from its own loop.
//!
//! The supervisor calls a round now and then; an actor answers by polling [`Pulse::called`] among
//! its other work. A stuck actor does not answer, and neither a timer nor a thread that still
//! runs can answer for it. Idle actors wake once per round and not otherwise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// One actor's end.
#[derive(Clone, Debug)]
pub struct Pulse {
    round: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Pulse {
    /// Resolves when a round is called, having answered it. Cancel-safe.
    pub async fn called(&mut self) {
        if self.round.changed().await.is_err() {
            // Nobody calls rounds any more: the process is ending.
            std::future::pending::<()>().await;
        }
        self.answered.store(*self.round.borrow_and_update(), Ordering::Relaxed);
    }
}

/// The supervisor's end, which handlers of `/health` share.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    round: watch::Sender<u64>,
    actors: Arc<Mutex<Vec<Actor>>>,
}

/// An actor's name and the last round it answered.
type Actor = (String, Arc<AtomicU64>);

impl Rounds {
    /// A pulse for an actor; a restarted actor takes over its predecessor's.
    pub(crate) fn register(&self, name: &str) -> Pulse {
        let answered = Arc::new(AtomicU64::new(*self.round.borrow()));
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
        actors.push((name.to_owned(), Arc::clone(&answered)));
        Pulse { round: self.round.subscribe(), answered }
    }

    /// An actor that has ended owes no answers.
    pub(super) fn retire(&self, name: &str) {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|(known, _)| known != name);
    }

    pub(crate) fn call(&self) {
        self.round.send_modify(|round| *round += 1);
    }

    /// The actors that are running.
    pub fn actors(&self) -> Vec<String> {
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        actors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The actors that make no progress.
    pub fn stuck(&self) -> Vec<String> {
        let called = *self.round.borrow();
        let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        let late = actors
            .iter()
            .filter(|(_, answered)| is_stuck(called, answered.load(Ordering::Relaxed)));
        late.map(|(name, _)| name.clone()).collect()
    }
}

/// Whether an actor that answered the round `answered` is stuck, given the round that is being called.
/// One round of grace: an answer may simply not have been due yet.
fn is_stuck(called: u64, answered: u64) -> bool {
    answered + 1 < called
}

impl Pulse {
    /// A pulse that nobody takes, for actors run without a supervisor.
    pub fn unwatched() -> Self {
        Rounds::default().register("unwatched")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_one_round_of_grace() {
        assert!(!is_stuck(0, 0));
        assert!(!is_stuck(1, 0));
        assert!(is_stuck(2, 0));
        assert!(!is_stuck(7, 6));
        assert!(is_stuck(7, 5));
    }

    #[tokio::test]
    async fn an_actor_that_does_not_answer_is_named() {
        let rounds = Rounds::default();
        let mut busy = rounds.register("busy");
        let _stuck = rounds.register("stuck");
        for _ in 0..2 {
            rounds.call();
            busy.called().await;
        }
        assert_eq!(rounds.stuck(), ["stuck"]);
        assert_eq!(rounds.actors(), ["busy", "stuck"]);
        rounds.retire("stuck");
        assert!(rounds.stuck().is_empty());
    }
}
