//! A real Mosquitto on a free port, and a real subscriber with a persistent session.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{Site, eventually};

const PROGRAM: &str = "mosquitto";
const SUBSCRIBER: &str = "mosquitto_sub";

/// Killed when dropped, as `kill -9` does.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
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
        for program in [PROGRAM, SUBSCRIBER] {
            if Command::new(program).arg("--help").stdout(Stdio::null()).status().is_err() {
                return skipped(program);
            }
        }
        // Somebody may take the port between our asking and the broker's; then another is tried.
        let broker = (0..10).find_map(|_| {
            let port = free_port();
            Self::start_at(site, port, lines)
        });
        Some(broker.expect("mosquitto starts"))
    }

    fn start_at(site: &Site, port: u16, lines: &str) -> Option<Self> {
        let folder = site.path("broker");
        drop(std::fs::create_dir(&folder));
        let text = format!(
            "listener {port} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\n\
             persistence true\npersistence_location {}/\n\
             autosave_interval 1\nmax_queued_messages 1000000\n{lines}",
            folder.display()
        );
        let config = site.write("mosquitto.conf", &text);
        let log = site.path("mosquitto.log");
        let child = run(&config, &log);
        let mut broker = Self { child, port, config, log };
        broker.listens().then_some(broker)
    }

    fn listens(&mut self) -> bool {
        let mut ended = false;
        let port = self.port;
        let seen = eventually(
            "mosquitto listens or ends",
            || {
                ended = self.child.try_wait().expect("wait for mosquitto").is_some();
                ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            },
            |done| *done,
        );
        seen && !ended
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// As the OOM killer ends it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill mosquitto");
        self.child.wait().expect("wait for mosquitto");
    }

    /// The same again, under another configuration if there is one.
    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.config, &self.log);
        assert!(self.listens(), "mosquitto started again");
    }

    /// Waits until it has saved what it knows now, its sessions among that.
    pub(crate) fn saved(&self) {
        // A save ends when a new file takes the place of the old one.
        let store = self.config.with_file_name("broker").join("mosquitto.db");
        let file = || std::fs::metadata(&store).map_or(0, |metadata| metadata.ino());
        let before = file();
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::USR1).expect("ask mosquitto to save");
        eventually("mosquitto saved", file, |file| *file != before);
    }

    /// All it logged so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("read the log of mosquitto")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
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

fn run(config: &PathBuf, log: &PathBuf) -> Child {
    let log = File::options().append(true).create(true).open(log).expect("open a log");
    let mut command = Command::new(PROGRAM);
    command.arg("-c").arg(config).stderr(log).spawn().expect("start mosquitto")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a free port");
    listener.local_addr().expect("an address").port()
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
    child: Child,
    out: PathBuf,
}

impl Subscriber {
    /// Returns when it has subscribed. `access` are further words of its command line.
    pub(crate) fn start(site: &Site, broker: &Broker, access: &[&str]) -> Self {
        let out = site.path("seen");
        let file = File::options().append(true).create(true).open(&out).expect("open a file");
        let port = broker.port.to_string();
        let mut command = Command::new(SUBSCRIBER);
        command.args(["-h", "127.0.0.1", "-p", &port, "-i", "witness", "-c", "-q", "1"]);
        command.args(["-t", "#", "-F", "%t %p"]).args(access).stdout(file);
        let child = command.spawn().expect("start mosquitto_sub");
        eventually(
            "the subscriber is there",
            || broker.said(),
            |said| said.contains("Sending SUBACK to witness"),
        );
        Self { child, out }
    }

    /// Ends it, and its session with it.
    pub(crate) fn leave(self, broker: &Broker) {
        drop(self);
        let mut command = Command::new(SUBSCRIBER);
        command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-i", "witness"]);
        let status = command.args(["-t", "#", "-E"]).status().expect("start mosquitto_sub");
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

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What these tests need they do not find everywhere.
fn skipped<T>(program: &str) -> Option<T> {
    let why = format!("`{program}` is missing: install Debian's mosquitto and mosquitto-clients");
    let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "{why}");
    drop(writeln!(std::io::stderr().lock(), "SKIPPED: {why}"));
    None
}
