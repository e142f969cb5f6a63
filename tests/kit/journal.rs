//! A systemd-journald of its own, in a mount namespace where nobody else's /run is, with our catalog.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outstation::telemetry::events::message_ids::{self, MessageKind};
use rustix::process::Signal;
use serde_json::Value;

use super::daemon::Daemon;
use super::need::{is_root, skipped};
use super::process::Process;
use super::site::Site;
use super::wait::eventually;

const JOURNALD: &str = "/lib/systemd/systemd-journald";
const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/outstation.catalog");

/// No limit of journald's own, so that what is bounded is bounded by us.
const SETUP: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\nRateLimitIntervalSec=0\\n' \\
    > /run/systemd/journald.conf.d/test.conf
mount -t tmpfs tmpfs /usr/lib/systemd/catalog
mount -t tmpfs tmpfs /var/lib/systemd/catalog
cp \"$1\" /usr/lib/systemd/catalog/
journalctl --update-catalog
exec \"$2\"";

/// systemd.exec(5) sets this variable, and systemd-cat does not.
pub(crate) const AS_SYSTEMD: &str =
    "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";

/// What every record has besides the fields of its event.
const COMMON: [&str; 9] = [
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "TARGET",
    "CODE_FILE",
    "CODE_LINE",
    "REPEATS",
    "LATE_S",
];

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    process: Process,
    pid: String,
}

impl Journal {
    /// None where there is none to be had.
    pub(crate) fn start() -> Option<Self> {
        if !Path::new(JOURNALD).exists() || !is_root() {
            return skipped("these tests need root, `unshare`, `nsenter` and systemd-journald");
        }
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            SETUP,
            "sh",
            CATALOG,
            JOURNALD,
        ]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(quiet);
        let pid = process.pid().to_string();
        let journal = Self { process, pid };
        eventually("journald listens", || journal.socket().exists(), |there| *there);
        Some(journal)
    }

    /// The daemon, with its stderr there as systemd sets it up.
    pub(crate) fn spawn(&self, site: &Site, rest: &str) -> Daemon {
        self.spawn_saying(site, "info", rest)
    }

    pub(crate) fn spawn_saying(&self, site: &Site, level: &str, rest: &str) -> Daemon {
        let starter = [&self.inside()[..], &["systemd-cat", "sh", "-c", AS_SYSTEMD, "sh"]].concat();
        site.spawn_saying("auto", level, &starter, rest)
    }

    /// The same, once it is ready.
    pub(crate) fn run(&self, site: &Site, rest: &str) -> Daemon {
        self.spawn(site, rest).ready()
    }

    fn inside(&self) -> [&str; 4] {
        ["nsenter", "-t", &self.pid, "-m"]
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends journald. Its files remain as long as the daemon does.
    pub(crate) fn end(&mut self, daemon: &Daemon) {
        self.process.kill();
        self.pid = daemon.pid().to_string();
    }

    /// Starts journald again, where the daemon runs.
    pub(crate) fn restart(&mut self) {
        let [nsenter, inside @ ..] = self.inside();
        let mut command = Command::new(nsenter);
        let quiet = command.args(inside).arg(JOURNALD).stdin(Stdio::null());
        let process = Process::start(quiet.stdout(Stdio::null()).stderr(Stdio::null()));
        self.process = process;
        let answers = || self.try_journalctl(&["--sync"]).status.success();
        eventually("journald answers again", answers, |answers| *answers);
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/systemd/journal/socket", self.pid))
    }

    /// Sends a stopped journald as much as its socket takes.
    pub(crate) fn fill(&self) {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let full = (0..10_000).find_map(|_| socket.send_to(b"MESSAGE=full", self.socket()).err());
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    }

    fn try_journalctl(&self, arguments: &[&str]) -> Output {
        let [nsenter, inside @ ..] = self.inside();
        let mut command = Command::new(nsenter);
        command.args(inside).arg("journalctl").args(arguments);
        command.output().expect("run `nsenter`")
    }

    fn journalctl(&self, arguments: &[&str]) -> String {
        let output = self.try_journalctl(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What people read.
    pub(crate) fn explained(&self) -> String {
        self.journalctl(&["--sync"]);
        self.journalctl(&["-x", "--no-pager", "-t", "outstation"])
    }

    /// All records that match, such as `PORT=text`; each is as `message_ids` lists it.
    pub(crate) fn records(&self, matches: &str) -> Vec<Value> {
        self.journalctl(&["--sync"]);
        let lines =
            self.journalctl(&["-o", "json", "--no-pager", "SYSLOG_IDENTIFIER=outstation", matches]);
        let records: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        records.iter().for_each(check);
        records
    }

    /// Waits until something of this kind is said about this.
    pub(crate) fn said(&self, kind: &str, matches: &str) -> Value {
        let id = kind_named(kind).message_id;
        let found = || {
            let records = self.records(matches);
            Value::Array(records.into_iter().filter(|record| record["MESSAGE_ID"] == id).collect())
        };
        let found = eventually(&format!("{kind} is said"), found, |found| found[0].is_object());
        found[0].clone()
    }
}

pub(crate) fn kind_named(name: &str) -> &'static MessageKind {
    message_ids::ALL.iter().find(|kind| kind.name == name).expect("it is listed")
}

/// How many occurrences these records stand for.
pub(crate) fn occurrences(records: &[Value]) -> u64 {
    records.iter().map(|record| 1 + number(record, "REPEATS")).sum()
}

/// journald keeps every value as text.
pub(crate) fn number(record: &Value, name: &str) -> u64 {
    record[name].as_str().map_or(0, |text| text.parse().expect("a number"))
}

fn check(record: &Value) {
    // What is for developers has no id.
    let Some(id) = record["MESSAGE_ID"].as_str() else { return };
    let kind = message_ids::ALL.iter().find(|kind| kind.message_id == id);
    let kind = kind.unwrap_or_else(|| panic!("not listed: {record}"));
    let names = record.as_object().expect("an object").keys();
    let own = names.filter(|name| !name.starts_with('_') && !COMMON.contains(&name.as_str()));
    let own: BTreeSet<_> = own.cloned().collect();
    let listed: BTreeSet<_> = kind.fields.iter().map(|name| name.to_uppercase()).collect();
    assert!(own.is_subset(&listed), "{listed:?} are listed: {record}");
    let priority = |level: &&str| match *level {
        "error" => "3",
        "warn" => "4",
        _ => "6",
    };
    let said = record["PRIORITY"].as_str().expect("a priority");
    let priorities: Vec<_> = kind.levels.iter().map(priority).chain(["7"]).collect();
    assert!(priorities.contains(&said), "{priorities:?} are listed: {record}");
}
