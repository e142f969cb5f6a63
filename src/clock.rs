//! The only reader of wall clock, monotonic clock, boot id and entropy.
//!
//! Everything else is handed a [`Clock`]. The virtual one follows tokio's clock, so that a test
//! that steps time steps every timestamp with it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use outstation_codec::Anchor;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    boot_id: Arc<str>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Unix milliseconds at `started`.
    Virtual(Arc<AtomicI64>),
}

impl Clock {
    /// The device's own clocks. A kernel that hides the boot id gets a fresh one per process:
    /// times since boot then cannot be compared across restarts, and are not.
    pub fn system() -> Self {
        let boot_id = std::fs::read_to_string(BOOT_ID).map_or_else(
            |_| format!("process-{:016x}", Self::entropy()),
            |id| id.trim().to_owned(),
        );
        Self { started: Instant::now(), boot_id: boot_id.into(), source: Source::System }
    }

    /// A device that has just booted at `wall_ms`, on tokio's clock.
    pub fn simulated(boot_id: &str, wall_ms: i64) -> Self {
        let source = Source::Virtual(Arc::new(AtomicI64::new(wall_ms)));
        Self { started: Instant::now(), boot_id: boot_id.into(), source }
    }

    /// Sets a simulated wall clock; a real one is not ours to set.
    pub fn step_wall(&self, by_ms: i64) {
        if let Source::Virtual(wall) = &self.source {
            wall.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Time since this clock was made: the moment that decisions are handed.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Milliseconds since the device booted, suspended time included.
    pub fn since_boot_ms(&self) -> i64 {
        match self.source {
            Source::System => {
                let time = clock_gettime(ClockId::Boottime);
                time.tv_sec * 1000 + time.tv_nsec / 1_000_000
            }
            Source::Virtual(_) => millis(self.now()),
        }
    }

    /// What the wall clock shows, in Unix milliseconds; before 1970 counts as 1970.
    pub fn wall_ms(&self) -> i64 {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
            Source::System => {
                let now = std::time::SystemTime::now();
                millis(now.duration_since(UNIX_EPOCH).unwrap_or_default())
            }
            Source::Virtual(wall) => wall.load(Ordering::Relaxed) + millis(self.now()),
        }
    }

    /// How the two clocks stand to each other now.
    pub fn anchor(&self) -> Anchor {
        Anchor::new(self.wall_ms(), self.since_boot_ms())
    }

    /// Unpredictable bits: the standard library keys its hashers from the operating system.
    pub fn entropy() -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
