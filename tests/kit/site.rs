//! A site: a folder with a configuration, a log and devices, for the daemon that runs on it.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::address::Reserved;
use super::daemon::Daemon;
use super::files::permit;
use super::line::Line;
use super::process::Process;
use super::program::PROGRAM;

#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
    log: &'static str,
    starts: AtomicU32,
    commit_interval: &'static str,
    listen: &'static str,
    /// Where servers of this site listen; nobody else can in the meantime.
    addresses: Mutex<Vec<Reserved>>,
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
            addresses: Mutex::default(),
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

    /// An address for a server, which may end and come back to it as long as the site is there.
    pub(crate) fn address(&self) -> String {
        let address = Reserved::new();
        let text = address.to_string();
        self.addresses.lock().expect("no panic").push(address);
        text
    }

    /// For its owner alone, as a secret must be.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.write_for(name, text, 0o600)
    }

    fn write_for(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("write a file");
        permit(&path, mode);
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
        let process = Process::start(
            Command::new(words[0])
                .args(&words[1..])
                .arg(config)
                .env("NOTIFY_SOCKET", &notify)
                .env("RUNTIME_DIRECTORY", self.path("run"))
                .env("OUTSTATION_LOG", level)
                .stderr(File::create(&stderr).expect("make a file for stderr")),
        );
        Daemon::new(process, stderr, socket)
    }

    /// The daemon, once it has notified its service manager, us, that it is ready.
    pub(crate) fn start(&self, rest: &str) -> Daemon {
        self.spawn(rest).ready()
    }

    /// Gives a daemon here another configuration, and waits until it has read it.
    pub(crate) fn reload(&self, daemon: &Daemon, rest: &str) {
        self.configure(rest);
        daemon.signal(Signal::HUP);
        daemon.notified("RELOADING=1");
        daemon.notified("READY=1");
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
