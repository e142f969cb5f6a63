//! What the server may have although it never said so.
//!
//! An acknowledgement can be lost, and Prometheus refuses what it already has as "out of order",
//! the same as what it will never take. So a request is noted before it is sent and forgotten when
//! its outcome is known. What is left is in doubt, and a refusal of readings in doubt is looked
//! into ([`probe`](super::probe)); readings that are not in doubt are simply refused.
//!
//! Prometheus stores a request wholly or not at all, so what is found out about the newest samples
//! of a request holds for all of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::samples::{Point, Samples, Series};
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::LogStatus;

/// So many series vouch for a request: each alone proves it, unless a sensor repeats itself.
pub(super) const WITNESSES_MAX: usize = 8;
/// A request that is repeated is noted once. Others come with each batch that is formed anew: as
/// many as there are probes of a breaker in a day are too many, and the oldest are forgotten.
const REQUESTS_MAX: usize = 64;

/// The newest sample of one series in a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Witness {
    /// Of the series, encoded.
    pub(super) labels: Vec<u8>,
    pub(super) newest: Point,
}

/// A request whose outcome is not known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnresolvedRequest {
    pub(super) readings: IntervalSet,
    pub(super) witnesses: Vec<Witness>,
}

impl UnresolvedRequest {
    pub(super) fn of(samples: &Samples) -> Self {
        Self { readings: samples.readings.clone(), witnesses: witnesses(samples, u64::MAX) }
    }
}

/// The newest samples of a few series, of the readings up to this one.
pub(super) fn witnesses(samples: &Samples, last: u64) -> Vec<Witness> {
    let newest = |series: &Series| {
        let sent = series.points.iter().filter(|point| point.seq <= last);
        let newest = series.points.iter().rfind(|point| point.seq <= last)?;
        Some((sent.count(), series.labels.clone(), *newest))
    };
    let mut newest: Vec<_> = samples.series.iter().filter_map(newest).collect();
    // Those with the most samples say the most.
    newest.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    newest.truncate(WITNESSES_MAX);
    newest.into_iter().map(|(_, labels, newest)| Witness { labels, newest }).collect()
}

#[derive(Clone, Debug, Default)]
struct InDoubt {
    requests: Vec<UnresolvedRequest>,
    /// Readings that were found to be at the server.
    there: IntervalSet,
    /// Readings that are not taken for sent by an earlier process, wherever they stand.
    doubtful: IntervalSet,
    /// The last reading that an earlier process can have sent.
    head_found: Option<u64>,
    /// Whether the server was without something that came next: an earlier process, which sent in
    /// order, sent nothing after it either.
    predecessor_known: bool,
}

/// What is in doubt for one sink: its endpoints may lead to the same server.
#[derive(Clone, Debug)]
pub(crate) struct SharedInDoubt {
    inner: Arc<Mutex<InDoubt>>,
    log: watch::Receiver<LogStatus>,
}

impl SharedInDoubt {
    /// Of a process that begins with this log.
    pub(crate) fn new(log: watch::Receiver<LogStatus>) -> Self {
        let in_doubt = Self { inner: Arc::default(), log };
        in_doubt.head_found();
        in_doubt
    }

    fn lock(&self) -> MutexGuard<'_, InDoubt> {
        // Whatever panics elsewhere, each change leaves it sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last reading that this process found in the log, when the log was first open.
    pub(super) fn head_found(&self) -> u64 {
        let mut in_doubt = self.lock();
        if in_doubt.head_found.is_none() {
            let log = self.log.borrow();
            in_doubt.head_found = log.is_opened().then_some(log.head);
        }
        in_doubt.head_found.unwrap_or(0)
    }

    /// A request is about to be sent; says whether it is for the first time.
    pub(super) fn note(&self, request: UnresolvedRequest) -> bool {
        let mut in_doubt = self.lock();
        let known = in_doubt.requests.iter().any(|known| known.readings == request.readings);
        if !known {
            if in_doubt.requests.len() == REQUESTS_MAX {
                in_doubt.requests.remove(0);
            }
            in_doubt.requests.push(request);
        }
        !known
    }

    /// This request is not in doubt any more: none of it was stored.
    pub(super) fn forget(&self, readings: &IntervalSet) {
        self.lock().requests.retain(|known| known.readings != *readings);
    }

    /// Those that these readings may have arrived with.
    pub(super) fn about(&self, readings: &IntervalSet) -> Vec<UnresolvedRequest> {
        let overlaps =
            |request: &&UnresolvedRequest| request.readings.intersection(readings).count() > 0;
        self.lock().requests.iter().filter(overlaps).cloned().collect()
    }

    /// These readings are at the server.
    pub(super) fn found(&self, readings: &IntervalSet) {
        let mut in_doubt = self.lock();
        in_doubt.there = in_doubt.there.union(readings);
    }

    /// The readings that are at the server although it did not say so.
    pub(super) fn there(&self) -> IntervalSet {
        self.lock().there.clone()
    }

    /// A batch is delivered, and will not be asked about again.
    pub(super) fn delivered(&self, ranges: &[(u64, u64)], conclusive: bool) {
        let mut in_doubt = self.lock();
        in_doubt.predecessor_known |= conclusive;
        for (first, last) in ranges {
            in_doubt.there.remove(*first, *last);
            in_doubt.doubtful.remove(*first, *last);
            for request in &mut in_doubt.requests {
                request.readings.remove(*first, *last);
            }
        }
        in_doubt.requests.retain(|request| request.readings.count() > 0);
    }

    /// These readings may well have been refused when an earlier process sent them.
    pub(super) fn distrust(&self, readings: &[u64]) {
        let mut in_doubt = self.lock();
        for seq in readings {
            in_doubt.doubtful.insert(*seq, *seq);
        }
    }

    pub(super) fn trusted(&self, readings: &IntervalSet) -> IntervalSet {
        let mut trusted = readings.clone();
        for (first, last) in self.lock().doubtful.intervals() {
            trusted.remove(*first, *last);
        }
        trusted
    }

    /// What an earlier process sent is known.
    pub(super) fn note_predecessor_known(&self) {
        self.lock().predecessor_known = true;
    }

    pub(super) fn is_predecessor_known(&self) -> bool {
        self.lock().predecessor_known
    }
}
