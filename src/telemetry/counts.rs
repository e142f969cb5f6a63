//! A recorder that keeps the counters of events. Showing them is left to `status`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// The counters that events increment, as whole numbers. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    counters: Arc<Mutex<BTreeMap<Key, Arc<AtomicU64>>>>,
}

impl Counts {
    /// Returns every counter with its present value.
    pub(crate) fn read(&self) -> Vec<(Key, u64)> {
        let counters = self.counters();
        counters.iter().map(|(key, count)| (key.clone(), count.load(Ordering::Relaxed))).collect()
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<AtomicU64>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Counts {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters();
        Counter::from_arc(Arc::clone(counters.entry(key.clone()).or_default()))
    }

    // Gauges and histograms are not recorded: `status` shows the statuses themselves.
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
