//! Something that grows on another thread, and can be waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::record::PATIENCE;

#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until it is good. Says what it waited for if it waited in vain.
    pub(crate) fn until(&self, what: &str, good: impl Fn(&T) -> bool) -> Result<(), String> {
        let waiting = self.changed.wait_timeout_while(self.lock(), PATIENCE, |value| !good(value));
        let (_told, waited) = waiting.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { Err(format!("waited in vain until {what}")) } else { Ok(()) }
    }
}
