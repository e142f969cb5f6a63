//! Who was turned away, counted as it happens and reported in summary: a flood must not flood the
//! log.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::events::{ClientRefusal, ClientsRefused, Report};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Unreported>);

#[derive(Debug, Default)]
struct Unreported {
    counts: [u64; ClientRefusal::ALL.len()],
    last: Option<IpAddr>,
    reported_at: Option<Instant>,
}

impl Refusals {
    pub(super) fn add(&self, why: ClientRefusal, peer: IpAddr) {
        why.count();
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unreported.counts[why as usize] += 1;
        unreported.last = Some(peer);
    }

    /// Called now and then; says something if there is something to say, and not too often.
    pub(super) fn tell(&self, now: Instant) {
        let reported_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).reported_at;
        if reported_at.is_none_or(|at| now.duration_since(at) >= PAUSE) {
            self.tell_rest(now);
        }
    }

    /// What is left to say at the end.
    pub(super) fn tell_rest(&self, now: Instant) {
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = unreported.last else { return };
        ClientsRefused { counts: &unreported.counts, last }.report();
        *unreported = Unreported { reported_at: Some(now), ..Unreported::default() };
    }
}
