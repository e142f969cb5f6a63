//! A real Mosquitto, and a real subscriber with a persistent session.

use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::need::installed;
use super::process::Process;
use super::site::Site;
use super::wait::eventually;

const PROGRAM: &str = "mosquitto";
const SUBSCRIBER: &str = "mosquitto_sub";
const DEBIAN_PACKAGES: &str = "mosquitto mosquitto-clients";

/// Killed when dropped, as `kill -9` does.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Process,
    pub(crate) address: String,
    config: PathBuf,
    log: PathBuf,
}

impl Broker {
    /// One that takes everybody and forgets nothing it was given; none where Mosquitto is missing.
    pub(crate) fn start(site: &Site) -> Option<Self> {
        Self::with(site, "allow_anonymous true\nmax_inflight_messages 0\n")
    }

    /// With these lines of configuration besides those that keep what it is given.
    pub(crate) fn with(site: &Site, lines: &str) -> Option<Self> {
        if !installed(PROGRAM, DEBIAN_PACKAGES) || !installed(SUBSCRIBER, DEBIAN_PACKAGES) {
            return None;
        }
        let folder = site.path("broker");
        std::fs::create_dir_all(&folder).expect("make a folder");
        let address = site.address();
        let text = format!(
            "listener {} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\n\
             persistence true\npersistence_location {}/\n\
             autosave_interval 1\nmax_queued_messages 1000000\n{lines}",
            port(&address),
            folder.display()
        );
        let config = site.write("mosquitto.conf", &text);
        let log = site.path("mosquitto.log");
        let process = run(&address, &config, &log);
        Some(Self { process, address, config, log })
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// As the OOM killer ends it.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// The same again, under another configuration if there is one.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.address, &self.config, &self.log);
    }

    /// Waits until it has saved what it knows now, its sessions among that.
    pub(crate) fn saved(&self) {
        // A save ends when a new file takes the place of the old one. Two saves on end give the second
        // file the inode of the one before the first, so the time of its renaming counts as well.
        let store = self.config.with_file_name("broker").join("mosquitto.db");
        let renamed = |of: Metadata| format!("{} {} {}", of.ino(), of.ctime(), of.ctime_nsec());
        let file = || std::fs::metadata(&store).map_or(String::new(), renamed);
        let before = file();
        self.process.signal(Signal::USR1);
        eventually("mosquitto saved", file, |file| *file != before);
    }

    /// All it logged so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("read the log of mosquitto")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            let said = self.said();
            let tail: Vec<_> = said.lines().rev().take(30).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            drop(writeln!(
                std::io::stderr().lock(),
                "--- mosquitto said:\n{}\n---",
                tail.join("\n")
            ));
        }
    }
}

/// Returns when it listens.
fn run(address: &str, config: &Path, log: &Path) -> Process {
    let stderr = File::options().append(true).create(true).open(log).expect("open a log");
    let mut process = Process::start(Command::new(PROGRAM).arg("-c").arg(config).stderr(stderr));
    process.listens(address, log);
    process
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("an address has a port")
}

/// One message as the subscriber saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) payload: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.payload).expect("a JSON object")
    }
}

/// Everything a broker is given from its subscription on, also what came while it was away.
#[derive(Debug)]
pub(crate) struct Subscriber {
    _process: Process,
    out: PathBuf,
}

impl Subscriber {
    /// Returns when it has subscribed. `access` are further words of its command line.
    pub(crate) fn start(site: &Site, broker: &Broker, access: &[&str]) -> Self {
        let out = site.path("seen");
        let file = File::options().append(true).create(true).open(&out).expect("open a file");
        let mut command = witness(broker);
        command.args(["-c", "-q", "1", "-F", "%t %p"]).args(access).stdout(file);
        let process = Process::start(&mut command);
        eventually(
            "the subscriber is there",
            || broker.said(),
            |said| said.contains("Sending SUBACK to witness"),
        );
        Self { _process: process, out }
    }

    /// Ends it, and its session with it.
    pub(crate) fn leave(self, broker: &Broker) {
        drop(self);
        let status = witness(broker).arg("-E").status().expect("start mosquitto_sub");
        assert!(status.success(), "a clean session takes the place of the old one");
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(&self.out).expect("read what was seen");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let message = |line: &str| {
            let (topic, payload) = line.split_once(' ')?;
            Some(Seen { topic: topic.to_owned(), payload: payload.to_owned() })
        };
        whole.lines().filter_map(message).collect()
    }

    pub(crate) fn at(&self, topic: &str) -> Vec<String> {
        let seen = self.seen().into_iter().filter(|seen| seen.topic == topic);
        seen.map(|seen| seen.payload).collect()
    }

    /// The readings, as JSON.
    pub(crate) fn readings(&self) -> Vec<Value> {
        let seen = self.seen().into_iter().filter(|seen| seen.payload.contains("\"seq\":"));
        seen.map(|seen| seen.json()).collect()
    }

    /// Waits until `count` different readings are there, which must be those numbered from one; says
    /// how many came again, and what each says, in order.
    pub(crate) fn holds(&self, count: u64) -> (usize, Vec<Value>) {
        let unique = || {
            let readings = self.readings();
            let mut unique: Vec<_> = readings.iter().map(number).collect();
            unique.sort_unstable();
            unique.dedup();
            unique.len() as u64
        };
        eventually(&format!("{count} readings are seen"), unique, |seen| *seen >= count);
        let mut readings = self.readings();
        let all = readings.len();
        readings.sort_by_key(number);
        readings.dedup_by_key(|reading| number(reading));
        let numbers: Vec<_> = readings.iter().map(|reading| number(reading).1).collect();
        assert!(numbers.iter().copied().eq(1..=count), "{numbers:?}");
        (all - readings.len(), readings)
    }
}

/// What names a reading for ever on one device.
fn number(reading: &Value) -> (u64, u64) {
    let number = |key: &str| reading[key].as_u64().expect("a number");
    (number("epoch"), number("seq"))
}

/// A subscriber to everything, under the name that has the session.
fn witness(broker: &Broker) -> Command {
    let mut command = Command::new(SUBSCRIBER);
    command.args(["-h", "127.0.0.1", "-p", port(&broker.address), "-i", "witness", "-t", "#"]);
    command
}
