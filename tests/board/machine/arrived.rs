//! What the collector has of the sensor.

use std::ops::Range;

use super::board::PATIENCE;
use crate::kit::collector::Collector;
use crate::kit::wait::eventually_within;

/// Its numbers, in the order in which they were stored.
pub(crate) fn numbers(collector: &Collector) -> Vec<u64> {
    let cells = collector.values("probe").into_iter();
    cells.map(|cells| cells["v"].as_u64().expect("a number")).collect()
}

/// Waits until everything that was said has arrived: each number once, in order.
pub(crate) fn arrives(collector: &Collector, said: &[Range<u64>]) {
    let said: Vec<u64> = said.iter().cloned().flatten().collect();
    let unique = || collector.stats()["unique"].as_u64().unwrap_or(0);
    eventually_within(PATIENCE, "all of it arrived", unique, |count| *count >= said.len() as u64);
    assert_eq!(numbers(collector), said);
}
