//! Processes beside the test, which never outlive it.

use std::io::BufReader;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// Killed, as the OOM killer does it, and waited for when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.spawn().map(Self)
    }

    /// The same where it must succeed.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command).unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// What it prints, where that was made a pipe.
    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().expect("its stdout is a pipe, taken once"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("send a signal");
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("wait for a process")
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = || {
            status = self.ended();
            status.is_some()
        };
        eventually("the process ended", ended, |ended| *ended);
        status.expect("it ended")
    }

    /// Waits until it takes connections at this address; `log` is what it wrote so far.
    pub(crate) fn listens(&mut self, address: &str, log: &Path) {
        let listens = || {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.ended() {
                panic!("{status}, instead of listening at {address}:\n{}", said());
            }
            TcpStream::connect(address).is_ok()
        };
        eventually(&format!("something listens at {address}"), listens, |listens| *listens);
    }

    pub(crate) fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The port of the only socket that a process listens on.
pub(crate) fn port_of(pid: u32) -> Option<u16> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let files = std::fs::read_dir(proc.join("fd")).expect("list open files");
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let names: Vec<_> = targets.map(|target| target.display().to_string()).collect();
    let table = std::fs::read_to_string(proc.join("net/tcp")).expect("read the socket table");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = names.contains(&format!("socket:[{}]", fields[9])) && fields[3] == "0A";
        let port = fields[1].rsplit(':').next()?;
        ours.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}
