//! The count of bytes that a sink costs on the wire. Its connections add to it; the rate limit and the
//! budget read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of a sink in both directions. Clones share the counter.
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
