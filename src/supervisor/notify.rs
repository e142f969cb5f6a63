//! Tells systemd where the daemon stands: ready, status line, stopping, alive.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing.

use std::fmt;
use std::time::Duration;

use sd_notify::NotifyState;

/// Says in one line, for `systemctl status`, how things are.
type Summary = Box<dyn Fn() -> String + Send>;

pub struct Notifier {
    summary: Summary,
    watchdog: Option<Duration>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Notifier").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

impl Notifier {
    pub fn new(summary: impl Fn() -> String + Send + 'static) -> Self {
        Self { summary: Box::new(summary), watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often to prove life: twice in the time systemd allows.
    pub(super) fn watchdog_interval(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |limit| limit / 2)
    }

    pub(super) fn ready(&self) {
        send(&[NotifyState::Ready, NotifyState::Status(&(self.summary)())]);
    }

    /// Told once a round; the watchdog is fed only while every actor makes progress.
    pub(super) fn tell(&self, alive: bool) {
        send(&[NotifyState::Status(&(self.summary)())]);
        if alive && self.watchdog.is_some() {
            send(&[NotifyState::Watchdog]);
        }
    }

    pub(super) fn stopping(&self) {
        send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

/// A service manager that does not listen must not stop the daemon.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "failed to notify the service manager");
    }
}
