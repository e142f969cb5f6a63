//! What a sink costs on the wire, as one number that its connections add to and its meter reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the bytes of a sink in both directions.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<AtomicU64>);

impl Wire {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
