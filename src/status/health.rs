//! Health: who still makes progress, and what keeps the daemon from being ready.
//!
//! The supervisor calls rounds; every actor answers a round from its own loop. An actor that has
//! not answered the round before last is stuck, however alive its process looks.

/// Whether an actor that answered `answered` is stuck, given the round that is being called.
/// One round of grace: an answer may simply not have been due yet.
pub fn is_stuck(called: u64, answered: u64) -> bool {
    answered + 1 < called
}

/// One dependency of readiness, in words a technician can act on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dependency {
    pub name: String,
    pub ready: bool,
    pub reason: String,
}

impl Dependency {
    pub fn new(name: impl Into<String>, ready: bool, reason: impl Into<String>) -> Self {
        Self { name: name.into(), ready, reason: reason.into() }
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
}
