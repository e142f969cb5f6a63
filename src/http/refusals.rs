//! Who was turned away, counted as it happens and told in summary: a flood must not flood the log.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::events::{ClientsRefused, Refused, Report};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    counts: [u64; Refused::ALL.len()],
    last: Option<IpAddr>,
    told_at: Option<Instant>,
}

impl Refusals {
    pub(super) fn add(&self, why: Refused, peer: IpAddr) {
        why.count();
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.counts[why as usize] += 1;
        untold.last = Some(peer);
    }

    /// Called now and then; says something if there is something to say, and not too often.
    pub(super) fn tell(&self, now: Instant) {
        let told_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).told_at;
        if told_at.is_none_or(|at| now.duration_since(at) >= PAUSE) {
            self.tell_rest(now);
        }
    }

    /// What is left to say at the end.
    pub(super) fn tell_rest(&self, now: Instant) {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = untold.last else { return };
        ClientsRefused { counts: &untold.counts, last }.report();
        *untold = Untold { told_at: Some(now), ..Untold::default() };
    }
}
