//! Notifies systemd of the state of the daemon: ready, status line, reloading, stopping, alive.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing. No call waits: a service manager that does
//! not read would otherwise block everything that shares this thread. A status or `READY` that did not fit
//! into the socket is sent again with the next liveness check.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// Returns the state of the daemon in one line for `systemctl status`.
type Summary = Box<dyn Fn() -> String + Send>;

/// The connection to the service manager, if there is one.
pub struct Notifier {
    summary: Summary,
    socket: Option<OsString>,
    watchdog: Option<Duration>,
    /// Whether `READY` still has to be sent because the socket had no room for it. The message must not get
    /// lost: systemd waits for it.
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

    /// The interval between two watchdog messages: half of the time that systemd allows.
    pub(super) fn watchdog_interval(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |limit| limit / 2)
    }

    /// Sends `READY` with the status line. It ends a start or a reload.
    pub fn ready(&self) {
        let notified = self.send(&[NotifyState::Ready, NotifyState::Status(&(self.summary)())]);
        self.ready_pending.store(!notified, Ordering::Relaxed);
    }

    /// Sends the status line, and feeds the watchdog if `alive`. The supervisor calls this with each
    /// liveness check; `alive` must be true only while every actor makes progress.
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

    /// Sends that a reload has started; [`ready`](Self::ready) ends it. The caller must not call this
    /// before the first `ready`: until then a reload is part of the start.
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

    /// Sends the states. Returns false if a service manager exists and could not be notified.
    fn send(&self, states: &[NotifyState<'_>]) -> bool {
        let Some(socket) = &self.socket else { return true };
        let sent = try_send(socket, states);
        if let Err(error) = &sent {
            tracing::debug!(error = %error, "failed to notify the service manager");
        }
        sent.is_ok()
    }
}

/// Sends the states without waiting. `sd_notify::notify` does the same, but waits for room in the socket.
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

    /// Returns the socket of a service manager, and a notifier that sends to it.
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
        // This returns although there is never room for so many messages.
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
