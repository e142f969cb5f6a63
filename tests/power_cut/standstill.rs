//! For how long nothing went on: a thread that only sleeps notices when it was left asleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sensor::now;

const SLEEP: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Standstill {
    over: Arc<AtomicBool>,
    sleeper: JoinHandle<Duration>,
}

impl Standstill {
    pub(crate) fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let sleeper = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let started = now();
                std::thread::sleep(SLEEP);
                let slept = Duration::from_micros(now().saturating_sub(started));
                longest = longest.max(slept.saturating_sub(SLEEP));
            }
            longest
        });
        Self { over, sleeper }
    }

    /// The longest time that it was left asleep too long.
    pub(crate) fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.sleeper.join().expect("a sleep")
    }
}
