//! Keeps account of requests that the server may have stored without an acknowledgement.
//!
//! An acknowledgement can be lost, and Prometheus refuses a sample that it already has as "out of order",
//! just like one that it will never accept. So each request is noted before it is sent and forgotten when
//! its outcome is known. The requests that remain are in doubt. A refusal of readings in doubt is examined
//! ([`probe`](super::probe)); a refusal of other readings is final.
//!
//! Prometheus stores a request completely or not at all, so the newest samples of a request tell about all
//! of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::samples::{Point, Samples, Series};
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::LogStatus;

/// The most series that are examined for one request. Each alone is proof, unless a sensor repeats itself.
pub(super) const WITNESSES_MAX: usize = 8;
/// The most requests in doubt that are kept. A repeated request is noted once, but batches that are formed
/// anew are noted too, and a breaker's probes of a day would be too many. The oldest are forgotten.
const REQUESTS_MAX: usize = 64;

/// The newest sample of one series in a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Witness {
    /// The encoded labels of the series.
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

/// The newest samples of a few series, among the readings up to `last`.
pub(super) fn witnesses(samples: &Samples, last: u64) -> Vec<Witness> {
    let newest = |series: &Series| {
        let sent = series.points.iter().filter(|point| point.seq <= last);
        let newest = series.points.iter().rfind(|point| point.seq <= last)?;
        Some((sent.count(), series.labels.clone(), *newest))
    };
    let mut newest: Vec<_> = samples.series.iter().filter_map(newest).collect();
    // The series with the most samples are the best evidence.
    newest.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    newest.truncate(WITNESSES_MAX);
    newest.into_iter().map(|(_, labels, newest)| Witness { labels, newest }).collect()
}

#[derive(Clone, Debug, Default)]
struct InDoubt {
    requests: Vec<UnresolvedRequest>,
    /// The readings that were found at the server.
    there: IntervalSet,
    /// The readings whose place among others is no evidence that an earlier process has sent them.
    doubtful: IntervalSet,
    /// The last reading that an earlier process can have sent.
    head_found: Option<u64>,
    /// Whether it is known how far an earlier process has sent. It sent in stored order, so once the server
    /// lacks a reading, it lacks all later ones.
    predecessor_known: bool,
}

/// What is in doubt for one sink. Its endpoints share it, because they may lead to the same server.
#[derive(Clone, Debug)]
pub(crate) struct SharedInDoubt {
    inner: Arc<Mutex<InDoubt>>,
    log: watch::Receiver<LogStatus>,
}

impl SharedInDoubt {
    /// Creates the account of a process that starts with this log.
    pub(crate) fn new(log: watch::Receiver<LogStatus>) -> Self {
        let in_doubt = Self { inner: Arc::default(), log };
        in_doubt.head_found();
        in_doubt
    }

    fn lock(&self) -> MutexGuard<'_, InDoubt> {
        // Each change leaves the account consistent, so a panic elsewhere does no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last reading in the log when this process opened it; 0 until the log is open.
    pub(super) fn head_found(&self) -> u64 {
        let mut in_doubt = self.lock();
        if in_doubt.head_found.is_none() {
            let log = self.log.borrow();
            in_doubt.head_found = log.is_opened().then_some(log.head);
        }
        in_doubt.head_found.unwrap_or(0)
    }

    /// Notes a request that is about to be sent. Returns true if it is sent for the first time.
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

    /// Removes a request from the account: it is known that none of it was stored, or that its readings are
    /// found.
    pub(super) fn forget(&self, readings: &IntervalSet) {
        self.lock().requests.retain(|known| known.readings != *readings);
    }

    /// The requests with which some of these readings may have arrived.
    pub(super) fn about(&self, readings: &IntervalSet) -> Vec<UnresolvedRequest> {
        let overlaps =
            |request: &&UnresolvedRequest| request.readings.intersection(readings).count() > 0;
        self.lock().requests.iter().filter(overlaps).cloned().collect()
    }

    /// Notes that these readings are at the server.
    pub(super) fn found(&self, readings: &IntervalSet) {
        let mut in_doubt = self.lock();
        in_doubt.there = in_doubt.there.union(readings);
    }

    /// The readings that are at the server without having been acknowledged.
    pub(super) fn there(&self) -> IntervalSet {
        self.lock().there.clone()
    }

    /// Forgets the readings of a delivered batch. `conclusive` says that its samples could not have been
    /// stored twice, so that no earlier process had sent them.
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

    /// Marks readings that the server may well have refused when an earlier process sent them.
    pub(super) fn distrust(&self, readings: &[u64]) {
        let mut in_doubt = self.lock();
        for seq in readings {
            in_doubt.doubtful.insert(*seq, *seq);
        }
    }

    /// These readings without the doubtful ones.
    pub(super) fn trusted(&self, readings: &IntervalSet) -> IntervalSet {
        let mut trusted = readings.clone();
        for (first, last) in self.lock().doubtful.intervals() {
            trusted.remove(*first, *last);
        }
        trusted
    }

    /// Notes that it is known how far an earlier process has sent.
    pub(super) fn note_predecessor_known(&self) {
        self.lock().predecessor_known = true;
    }

    pub(super) fn is_predecessor_known(&self) -> bool {
        self.lock().predecessor_known
    }
}
