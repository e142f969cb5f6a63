//! What events count: a recorder that keeps counters, and hands them on to the one of a page.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::atomics::AtomicU64;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Level, Metadata, Recorder, SharedString, Unit,
};

/// As events count, in whole numbers. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    counters: Arc<Mutex<BTreeMap<Key, Arc<AtomicU64>>>>,
}

impl Counts {
    /// Hands on all but those of sinks that are no more.
    pub(crate) fn tell(&self, recorder: &impl Recorder, has: impl Fn(&str) -> bool) {
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        for (key, counter) in &*self.counters() {
            let mut sinks = key.labels().filter(|label| label.key() == "sink");
            if sinks.all(|label| has(label.value())) {
                let told = recorder.register_counter(key, &metadata);
                told.absolute(counter.load(Ordering::Relaxed));
            }
        }
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

    // Statuses are shown, not recorded.
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
