//! Tells systemd where the daemon stands: ready, status line, reloading, stopping, alive.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing. None of them waits: a service manager
//! that does not read would otherwise stop everything that shares this thread. What it has no room
//! for is said again with the next liveness check.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// Says in one line, for `systemctl status`, how things are.
type Summary = Box<dyn Fn() -> String + Send>;

pub struct Notifier {
    summary: Summary,
    socket: Option<OsString>,
    watchdog: Option<Duration>,
    /// It is said in one message that must not get lost.
    ready_pending: AtomicBool,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Notifier").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

impl Notifier {
    pub fn new(summary: impl Fn() -> String + Send + 'static) -> Self {
        Self {
            summary: Box::new(summary),
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog: sd_notify::watchdog_enabled(),
            ready_pending: AtomicBool::new(false),
        }
    }

    /// How often to prove life: twice in the time systemd allows.
    pub(super) fn watchdog_interval(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |limit| limit / 2)
    }

    pub fn ready(&self) {
        let notified = self.send(&[NotifyState::Ready, NotifyState::Status(&(self.summary)())]);
        self.ready_pending.store(!notified, Ordering::Relaxed);
    }

    /// Called with each liveness check; the watchdog is fed only while every actor makes progress.
    pub(super) fn tell(&self, alive: bool) {
        if self.ready_pending.load(Ordering::Relaxed) {
            self.ready();
        } else {
            self.send(&[NotifyState::Status(&(self.summary)())]);
        }
        if alive && self.watchdog.is_some() {
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// A reload has begun; it ends with `ready`. One that comes before the first `ready` is part of the
    /// start.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => {
                self.send(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]);
            }
            Err(error) => tracing::debug!(%error, "failed to tell when the reload began"),
        }
    }

    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Whether there is no service manager or it was notified.
    fn send(&self, states: &[NotifyState<'_>]) -> bool {
        let Some(socket) = &self.socket else { return true };
        let sent = try_send(socket, states);
        if let Err(error) = &sent {
            tracing::debug!(error = %error, "failed to notify the service manager");
        }
        sent.is_ok()
    }
}

/// `sd_notify::notify` does the same, but waits for room.
fn try_send(socket: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let mut message = String::new();
    for state in states {
        // Writing into memory does not fail.
        let _ = writeln!(message, "{state}");
    }
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager and what tells it.
    fn listener(address: &SocketAddr, socket: &OsStr) -> (UnixDatagram, Notifier) {
        let manager = UnixDatagram::bind_addr(address).expect("bound");
        manager.set_nonblocking(true).expect("set");
        let watchdog = Some(Duration::from_secs(1));
        let notifier = Notifier { socket: Some(socket.to_owned()), watchdog, ..silent() };
        (manager, notifier)
    }

    fn silent() -> Notifier {
        Notifier {
            summary: Box::new(|| "well".to_owned()),
            socket: None,
            watchdog: None,
            ready_pending: AtomicBool::new(false),
        }
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        let next = || {
            let count = manager.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up_and_hears_later_that_we_are_ready() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let address = SocketAddr::from_pathname(&path).expect("an address");
        let (manager, notifier) = listener(&address, path.as_os_str());
        // Returns although there is never room for so many.
        (0..10_000).for_each(|_| notifier.tell(true));
        notifier.ready();
        let before = heard(&manager);
        assert!(before.len() < 10_000 && !before.iter().any(|said| said.contains("READY")));
        notifier.tell(true);
        assert_eq!(heard(&manager), ["READY=1\nSTATUS=well\n", "WATCHDOG=1\n"]);
        notifier.tell(false);
        assert_eq!(heard(&manager), ["STATUS=well\n"], "said once, and no life is claimed");
        silent().tell(true);
    }

    #[test]
    fn a_manager_may_listen_at_an_abstract_address() {
        let name = format!("outstation-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let (manager, notifier) = listener(&address, OsStr::new(&format!("@{name}")));
        notifier.stopping();
        assert_eq!(heard(&manager), ["STOPPING=1\nSTATUS=stopping\n"]);
        notifier.reloading();
        let said = heard(&manager).concat();
        assert!(said.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{said}");
    }
}
