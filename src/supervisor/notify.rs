//! Tells systemd where the daemon stands: ready, status line, stopping, alive.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

/// What systemd shows in `systemctl status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub ready: bool,
    pub line: String,
}

#[derive(Debug)]
pub struct Notifier {
    summary: watch::Receiver<Summary>,
    said_ready: bool,
    watchdog: Option<Duration>,
}

impl Notifier {
    pub fn new(summary: watch::Receiver<Summary>) -> Self {
        Self { summary, said_ready: false, watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often to prove life: twice in the time systemd allows.
    pub(super) fn watchdog_interval(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |limit| limit / 2)
    }

    /// Resolves when there is something new to say. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.summary.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn notify(&mut self) {
        let summary = self.summary.borrow_and_update().clone();
        if summary.ready && !self.said_ready {
            self.said_ready = true;
            send(&[NotifyState::Ready, NotifyState::Status(&summary.line)]);
        } else {
            send(&[NotifyState::Status(&summary.line)]);
        }
    }

    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
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
