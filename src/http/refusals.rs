//! Counts the clients that were turned away. Each one is counted at once and reported in a summary, so that
//! a flood of clients does not flood the log.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::events::{ClientRefusal, ClientsRefused, Report};

/// The shortest time between two summaries.
const PAUSE: Duration = Duration::from_secs(60);

/// The refusals since the last summary.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Unreported>);

#[derive(Debug, Default)]
struct Unreported {
    counts: [u64; ClientRefusal::ALL.len()],
    last: Option<IpAddr>,
    reported_at: Option<Instant>,
}

impl Refusals {
    /// Counts a client that was turned away.
    pub(super) fn add(&self, why: ClientRefusal, peer: IpAddr) {
        why.count();
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unreported.counts[why as usize] += 1;
        unreported.last = Some(peer);
    }

    /// Reports a summary if there are refusals and the last summary is long enough ago. The caller calls
    /// this at intervals.
    pub(super) fn tell(&self, now: Instant) {
        let reported_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).reported_at;
        if reported_at.is_none_or(|at| now.duration_since(at) >= PAUSE) {
            self.tell_rest(now);
        }
    }

    /// Reports the remaining refusals at the end.
    pub(super) fn tell_rest(&self, now: Instant) {
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = unreported.last else { return };
        ClientsRefused { counts: &unreported.counts, last }.report();
        *unreported = Unreported { reported_at: Some(now), ..Unreported::default() };
    }
}
