//! Waiting for a state that has a name, instead of sleeping.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Far beyond what anything takes here; a test that waits this long waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Waits until what `look` sees is `good`, and gives it back.
pub(crate) fn eventually<T: Display>(
    what: &str,
    look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> T {
    eventually_within(PATIENCE, what, look, good)
}

/// The same for what may take longer.
pub(crate) fn eventually_within<T: Display>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let seen = look();
        if good(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}; last seen: {seen}");
        std::thread::sleep(PAUSE);
    }
}

/// Asserts that what began then was done in time. A machine that is busy with other things takes a
/// multiple of what is promised; where the promise does not hold it takes far longer still.
pub(crate) fn assert_in_time(began: Instant, promised: Duration) {
    let took = began.elapsed();
    assert!(took < promised * BUSY, "it took {took:?}; {promised:?} are promised");
}

/// So much slower than alone on its machine a test may be.
const BUSY: u32 = 5;
