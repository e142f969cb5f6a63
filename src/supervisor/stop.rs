//! The request by which an actor learns that it should end.

use tokio::sync::watch;

/// A request to end, made to one actor or to all actors of its stage.
#[derive(Clone, Debug)]
pub struct Stop {
    pub(super) own: watch::Receiver<bool>,
    pub(super) stage: watch::Receiver<bool>,
}

impl Stop {
    /// Resolves once the stop is requested. Cancel-safe.
    pub async fn requested(&mut self) {
        // A dropped sender means that the whole process is ending. Both arms are cancel-safe.
        tokio::select! {
            stop = self.own.wait_for(|stop| *stop) => drop(stop),
            stop = self.stage.wait_for(|stop| *stop) => drop(stop),
        }
    }

    pub fn is_requested(&self) -> bool {
        *self.own.borrow() || *self.stage.borrow()
    }
}
