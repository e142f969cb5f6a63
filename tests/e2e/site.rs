//! A site: a folder with a configuration, a log and devices, and the daemon that runs on it.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::line::Line;

/// Far beyond what anything takes here; who waits this long waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_outstation");

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

/// Runs a command that ends by itself.
pub(crate) fn outstation(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env_remove("OUTSTATION_LOG").output().expect("run outstation")
}

#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
    log: &'static str,
    starts: AtomicU32,
    commit_interval: &'static str,
    listen: &'static str,
}

impl Site {
    /// Commits follow quickly, so that tests do.
    pub(crate) fn new() -> Self {
        Self::committing("20ms")
    }

    /// One whose log commits so often.
    pub(crate) fn committing(commit_interval: &'static str) -> Self {
        let folder = TempDir::new().expect("make a folder");
        std::fs::create_dir(folder.path().join("run")).expect("make a folder");
        Self {
            folder,
            log: "log.db",
            starts: AtomicU32::new(0),
            commit_interval,
            listen: "127.0.0.1:0",
        }
    }

    /// Whose log is at this place in its folder.
    pub(crate) fn with_log(log: &'static str) -> Self {
        Self { log, ..Self::new() }
    }

    /// Whose local port is there; what a configuration begins with is about that port.
    pub(crate) fn listening(listen: &'static str) -> Self {
        Self { listen, ..Self::new() }
    }

    /// The same with another interval.
    pub(crate) fn recommitting(self, commit_interval: &'static str) -> Self {
        Self { commit_interval, ..self }
    }

    /// The tails that are there.
    pub(crate) fn tails(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path("run")).expect("list tails");
        files.map(|file| format!("{:?}", file.expect("an entry").file_name())).collect()
    }

    /// Leaves no place for tails.
    pub(crate) fn without_tails(&self) {
        std::fs::remove_dir(self.path("run")).expect("remove a folder");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path(self.log)
    }

    /// For its owner alone, as a secret must be.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.write_for(name, text, 0o600)
    }

    fn write_for(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("write a file");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("set who may read a file");
        path
    }

    /// Plugs a serial device in.
    pub(crate) fn plug(&self, name: &str) -> Line {
        Line::plug(&self.path(name))
    }

    /// What every configuration here begins with.
    pub(crate) fn configure(&self, rest: &str) -> PathBuf {
        let log = self.log();
        let text = format!(
            "[device]\nid = \"site\"\n[log]\npath = \"{}\"\ncommit_interval = \"{}\"\n\
             [http]\nlisten = \"{}\"\n{rest}",
            log.display(),
            self.commit_interval,
            self.listen,
        );
        self.write_for("outstation.toml", &text, 0o644)
    }

    /// The daemon, not waited for.
    pub(crate) fn spawn(&self, rest: &str) -> Daemon {
        self.spawn_under(&[], rest)
    }

    /// The same, started by another program: the words of its command line.
    pub(crate) fn spawn_under(&self, starter: &[&str], rest: &str) -> Daemon {
        self.spawn_saying("text", "info", starter, rest)
    }

    /// The same, saying what it does in this format from this level on.
    pub(crate) fn spawn_saying(
        &self,
        format: &str,
        level: &str,
        starter: &[&str],
        rest: &str,
    ) -> Daemon {
        let config = self.configure(rest);
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let stderr = self.path(&format!("stderr.{start}"));
        let notify = self.path(&format!("notify.{start}"));
        let socket = UnixDatagram::bind(&notify).expect("bind the notify socket");
        let words = [starter, &[PROGRAM, "run", "--log-format", format, "--config"]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg(config)
            .env("NOTIFY_SOCKET", &notify)
            .env("RUNTIME_DIRECTORY", self.path("run"))
            .env("OUTSTATION_LOG", level)
            .stderr(File::create(&stderr).expect("make a file for stderr"))
            .spawn()
            .expect("start the daemon");
        Daemon { child, address: String::new(), stderr, socket }
    }

    /// The daemon, once it has told its service manager, us, that it is ready.
    pub(crate) fn start(&self, rest: &str) -> Daemon {
        self.spawn(rest).ready()
    }
}

pub(crate) fn port(name: &str, path: &Path, rest: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\npath = \"{}\"\n{rest}\n", path.display())
}

pub(crate) fn postcard_port(line: &Line) -> String {
    port("mcu", line.path(), "framing = \"postcard\"")
}

pub(crate) fn json_port(line: &Line) -> String {
    port("text", line.path(), "framing = \"lines\"\nformat = \"json\"")
}

/// A sink that gives its upstream half a second and leaves repeating to the breaker.
pub(crate) fn sink(address: &str, rest: &str) -> String {
    format!(
        "[[sink]]\nname = \"cloud\"\nkind = \"http\"\nurl = \"http://{address}/v1/readings\"\n\
         timeout = \"500ms\"\nretries = 0\n{rest}\n"
    )
}

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: String,
    stderr: PathBuf,
    socket: UnixDatagram,
}

impl Daemon {
    /// Waits until it has told its service manager, us, that it is ready.
    pub(crate) fn ready(mut self) -> Self {
        self.told("READY=1");
        self.address = self.listens_at();
        self
    }

    /// Waits until it has told its service manager this.
    pub(crate) fn told(&self, news: &str) {
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
        self.child.id()
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

    fn listens_at(&self) -> String {
        let port = self.port_in_proc().unwrap_or_else(|| panic!("no port\n{}", self.said()));
        format!("127.0.0.1:{port}")
    }

    fn port_in_proc(&self) -> Option<u16> {
        port_of(self.child.id())
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
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("send a signal");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = || {
            status = self.child.try_wait().expect("wait for the daemon");
            status.is_some()
        };
        eventually("the daemon ended", ended, |ended| *ended);
        status.expect("it ended")
    }

    /// Asks it to stop; it must do so in good order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }

    /// As a crash or the OOM killer ends it.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.end();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let said = self.said();
            drop(writeln!(std::io::stderr().lock(), "--- the daemon said:\n{said}---"));
        }
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

/// One GET; status code and body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    try_get(address, path).unwrap_or_else(|error| panic!("GET http://{address}{path}: {error}"))
}

/// The same where perhaps nobody answers.
pub(crate) fn try_get(address: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    });
    parts.ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// A child whose stdout is read.
pub(crate) fn piped(args: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdout(Stdio::piped()).spawn().expect("start outstation")
}
