//! Reads the wall clock, the monotonic clock, the boot id and entropy; no other module does.
//!
//! Every other module is given a [`Clock`]. The virtual clock follows tokio's, so that a test that steps
//! time steps every timestamp with it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use outstation_codec::Anchor;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A source of times. Clones of a virtual clock share its wall clock.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    boot_id: Arc<str>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    /// A virtual clock, with its Unix milliseconds at `started`.
    Virtual(Arc<AtomicI64>),
}

impl Clock {
    /// The clocks of the device. If the kernel hides the boot id, each process gets a new one: then times
    /// since boot cannot be compared across restarts, and are not.
    pub fn system() -> Self {
        let boot_id = std::fs::read_to_string(BOOT_ID).map_or_else(
            |_| format!("process-{:016x}", Self::entropy()),
            |id| id.trim().to_owned(),
        );
        Self { started: Instant::now(), boot_id: boot_id.into(), source: Source::System }
    }

    /// The clocks of a device that has just booted at `wall_ms` (Unix milliseconds), on tokio's clock.
    pub fn simulated(boot_id: &str, wall_ms: i64) -> Self {
        let source = Source::Virtual(Arc::new(AtomicI64::new(wall_ms)));
        Self { started: Instant::now(), boot_id: boot_id.into(), source }
    }

    /// Steps a simulated wall clock. It has no effect on the system's clock.
    pub fn step_wall(&self, by_ms: i64) {
        if let Source::Virtual(wall) = &self.source {
            wall.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The time since this clock was made. Decisions are given this time.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The milliseconds since the device booted, including the time that it was suspended.
    pub fn since_boot_ms(&self) -> i64 {
        match self.source {
            Source::System => {
                let time = clock_gettime(ClockId::Boottime);
                time.tv_sec * 1000 + time.tv_nsec / 1_000_000
            }
            Source::Virtual(_) => millis(self.now()),
        }
    }

    /// The time of the wall clock in Unix milliseconds; times before 1970 count as 1970.
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

    /// The relation of the wall clock to the time since boot, as it is now.
    pub fn anchor(&self) -> Anchor {
        Anchor::new(self.wall_ms(), self.since_boot_ms())
    }

    /// Returns unpredictable bits: the standard library takes the keys of its hashers from the operating
    /// system.
    pub fn entropy() -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
