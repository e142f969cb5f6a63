//! The daemon as a process: how it is, what it says, and how it ends.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::http::get;
use super::process::{Process, port_of};
use super::wait::{PATIENCE, eventually};

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    pub(crate) address: String,
    stderr: PathBuf,
    socket: UnixDatagram,
}

impl Daemon {
    /// One that was just started, writes its stderr to a file and notifies a socket.
    pub(crate) fn new(process: Process, stderr: PathBuf, socket: UnixDatagram) -> Self {
        Self { process, address: String::new(), stderr, socket }
    }

    /// Waits until it has notified its service manager, us, that it is ready.
    pub(crate) fn ready(mut self) -> Self {
        self.notified("READY=1");
        self.address = self.listens_at();
        self
    }

    /// Waits until it has notified its service manager of this.
    pub(crate) fn notified(&self, news: &str) {
        self.socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let mut message = [0; 4096];
        loop {
            let count = self.socket.recv(&mut message);
            let count = count.unwrap_or_else(|error| panic!("no {news}: {error}\n{}", self.said()));
            if message[..count].split(|byte| *byte == b'\n').any(|line| line == news.as_bytes()) {
                return;
            }
        }
    }

    /// Waits for its local port, which is there before it is ready.
    pub(crate) fn listening(mut self) -> Self {
        let port = eventually("it listens", || self.port_in_proc().unwrap_or(0), |port| *port > 0);
        self.address = format!("127.0.0.1:{port}");
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// CPU time it has taken so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("read the times of a process");
        let after_name = stat.rsplit_once(") ").expect("a name in brackets").1;
        let ticks =
            after_name.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks"));
        let per_second = rustix::param::clock_ticks_per_second();
        Duration::from_millis(ticks.sum::<u64>() * 1000 / per_second)
    }

    /// What the kernel says of its memory, such as `VmRSS`.
    pub(crate) fn kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("read the status of a process");
        let line = status.lines().find(|line| line.split(':').next() == Some(what));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.unwrap_or_else(|| panic!("no {what} in {status}"))
    }

    fn listens_at(&self) -> String {
        let port = self.port_in_proc().unwrap_or_else(|| panic!("no port\n{}", self.said()));
        format!("127.0.0.1:{port}")
    }

    fn port_in_proc(&self) -> Option<u16> {
        port_of(self.process.pid())
    }

    /// All it logged so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).expect("read stderr")
    }

    pub(crate) fn status(&self) -> Value {
        let (code, body) = get(&self.address, "/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("the status is JSON")
    }

    /// The only sink.
    pub(crate) fn sink(&self) -> Value {
        self.status()["sinks"][0].clone()
    }

    pub(crate) fn port(&self, name: &str) -> Value {
        let status = self.status();
        let ports = status["ports"].as_array().expect("a list of ports");
        ports.iter().find(|port| port["name"] == name).expect("the port is listed").clone()
    }

    /// How many readings it has taken in from a port itself, not from the tail of one before it.
    pub(crate) fn heard(&self, port: &str) -> u64 {
        let port = self.port(port);
        let count = |name: &str| port[name].as_u64().expect("a count");
        count("accepted").saturating_sub(count("recovered"))
    }

    /// Waits until the breaker is in this state.
    pub(crate) fn breaker(&self, state: &str) -> Value {
        eventually(&format!("the breaker is {state}"), || self.sink(), |s| s["breaker"] == state)
    }

    /// Waits until the log holds `count` readings for good, delivered or not.
    pub(crate) fn stored(&self, count: u64) -> Value {
        let stored = |status: &Value| {
            let ledger = &status["ledger"];
            ledger["accepted"] == count && ledger["stored"] == count && ledger["balanced"] == true
        };
        eventually(&format!("{count} readings are stored"), || self.status(), stored)
    }

    /// Waits until `count` readings were taken in and delivered, and nothing else happened to any.
    pub(crate) fn delivered(&self, count: u64) -> Value {
        let delivered = |status: &Value| {
            let ledger = &status["ledger"];
            ledger["balanced"] == true
                && ["accepted", "stored", "delivered"].iter().all(|name| ledger[name] == count)
        };
        let what = format!("{count} readings are delivered");
        let status = eventually(&what, || self.status(), delivered);
        let ledger = &status["ledger"];
        assert_eq!((&ledger["pending"], &ledger["uncommitted"]), (&0.into(), &0.into()));
        let lost = ledger["lost"].as_object().expect("losses by reason");
        assert!(!lost.is_empty() && lost.values().all(|count| *count == 0), "{ledger}");
        status
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.process.end()
    }

    /// Asks it to stop; it must do so in good order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }

    /// As a crash or the OOM killer ends it.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            let said = self.said();
            drop(writeln!(std::io::stderr().lock(), "--- the daemon said:\n{said}---"));
        }
    }
}
