//! How an actor learns that it should end.

use tokio::sync::watch;

/// The request that an actor should end: it alone, or all of its stage.
#[derive(Clone, Debug)]
pub struct Stop {
    pub(super) own: watch::Receiver<bool>,
    pub(super) stage: watch::Receiver<bool>,
}

impl Stop {
    /// Resolves once stopping is requested. Cancel-safe.
    pub async fn requested(&mut self) {
        // A dropped sender means that everything is going down. Both arms are cancel-safe.
        tokio::select! {
            stop = self.own.wait_for(|stop| *stop) => drop(stop),
            stop = self.stage.wait_for(|stop| *stop) => drop(stop),
        }
    }

    pub fn is_requested(&self) -> bool {
        *self.own.borrow() || *self.stage.borrow()
    }
}
