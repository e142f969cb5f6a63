//! A recording: the daemon under `strace`, through as many lives as the script wants.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::journal::{JOURNAL, number};
use crate::medium::{Image, Medium, Model};
use crate::sensor::{Sending, Sensor, now};
use crate::standstill::Standstill;
use crate::story::{Before, number_after};
use crate::trace::{CALLS, Parser, Step};
use crate::upstream::{Offer, Upstream, highest};
use crate::watched::Watched;

/// How long anything that must happen may take: for ever, to a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// So many readings may be under way before the sensor waits.
const AHEAD: u64 = 400;
pub(crate) const SINK: &str = "cloud";
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// Whether there is a strace that may trace. Says so if not.
pub(crate) fn is_possible() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]).stderr(Stdio::null());
    let possible = strace.status().is_ok_and(|status| status.success());
    let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(possible || !strict, "strace is missing or may not trace; install strace");
    if !possible {
        println!("SKIPPED: strace is missing or may not trace, so nobody cut the power");
    }
    possible
}

/// In memory, if there is enough: thousands of logs are opened, and what a disk would keep is read off
/// the trace. `TMPDIR` says otherwise.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = statvfs(memory).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let in_memory = std::env::var_os("TMPDIR").is_none() && room > 1 << 30;
    if in_memory { TempDir::new_in(memory) } else { TempDir::new() }.expect("make a folder")
}

/// The arguments of strace by which its trace can be read.
pub(crate) fn strace(trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-ttt", "--seccomp-bpf", "-xx", "-s", "200000"])
        .args(["-e", &format!("trace={CALLS}"), "-o"])
        .arg(trace);
    strace
}

/// What the daemon did, what it was told and what it told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// Holds the log, the traces and the rest. It goes with `guard`.
    pub(crate) folder: PathBuf,
    #[serde(skip)]
    pub(crate) guard: Option<TempDir>,
    /// In which boot of the machine it was made.
    pub(crate) boot_id: String,
    /// When it began.
    pub(crate) since: u64,
    pub(crate) lives: u32,
    /// What was there before the first step, and what is known of it.
    pub(crate) base: Image,
    pub(crate) before: Before,
    #[serde(skip)]
    pub(crate) steps: Vec<Step>,
    pub(crate) sending: Sending,
    /// For how long the machine stood still, at the most.
    pub(crate) standstill: Duration,
    pub(crate) offers: Vec<Offer>,
    /// The length of the sensor's texts.
    pub(crate) length: usize,
    pub(crate) bytes_max: u64,
}

impl Recording {
    /// The medium before the first step.
    pub(crate) fn medium(&self) -> Medium {
        Medium::holding(&self.base)
    }

    /// What stands there after the last step.
    pub(crate) fn end(&self) -> Image {
        let mut medium = self.medium();
        self.steps.iter().for_each(|step| medium.apply(&step.what));
        medium.image(Model::All)
    }

    /// Reads the traces again.
    pub(crate) fn read_steps(&mut self) {
        let log = std::fs::canonicalize(self.folder.join("log")).expect("the folder of the log");
        let mut parser = Parser::new(&log, self.base.keys().cloned());
        for life in 0..self.lives {
            let trace = std::fs::read_to_string(self.folder.join(format!("trace.{life}")));
            parser.read(&trace.expect("read a trace"));
        }
        self.steps = parser.steps;
    }
}

/// Records what happens in a folder from a given state of it on.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: TempDir,
    since: u64,
    standstill: Standstill,
    base: Image,
    pub(crate) sensor: Sensor,
    pub(crate) upstream: Upstream,
    length: usize,
    bytes_max: u64,
    lives: u32,
    parser: Parser,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    strace: Child,
    daemon: Pid,
    /// What the daemon says on stderr.
    said: Arc<Watched<String>>,
    /// The last number that the sensor had sent before.
    sent: u64,
}

impl Recorder {
    pub(crate) fn new(length: usize, bytes_max: u64) -> Self {
        let folder = folder();
        std::fs::create_dir(folder.path().join("log")).expect("make a folder");
        Self::at(folder, Image::new(), length, bytes_max, 0)
    }

    /// In a folder that holds `base`; the sensor goes on after the number `last`.
    pub(crate) fn at(
        folder: TempDir,
        base: Image,
        length: usize,
        bytes_max: u64,
        last: u64,
    ) -> Self {
        let line = folder.path().join("line");
        drop(std::fs::remove_file(&line));
        let sensor = Sensor::plug(&line, length, last);
        let upstream = Upstream::start(length);
        let (since, standstill) = (now(), Standstill::begin());
        let (lives, running) = (0, None);
        let log = std::fs::canonicalize(folder.path().join("log")).expect("the folder of the log");
        let parser = Parser::new(&log, base.keys().cloned());
        Self {
            folder,
            since,
            standstill,
            base,
            sensor,
            upstream,
            length,
            bytes_max,
            lives,
            parser,
            running,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self) -> PathBuf {
        let text = format!(
            "[device]\nid = \"site\"\n\
             [log]\npath = \"{}\"\ncommit_interval = \"{}ms\"\nmax_bytes = {}\n\
             [http]\nlisten = \"off\"\n\
             [telemetry]\nlevel = \"info,outstation::event_log=debug\"\n\
             [[port]]\nname = \"p\"\npath = \"{}\"\nframing = \"lines\"\nformat = \"json\"\n\
             [[sink]]\nname = \"{SINK}\"\nkind = \"http\"\nurl = \"http://{}/v1/readings\"\n\
             retries = 0\nbatch_readings = 200\n",
            self.path("log/log.db").display(),
            INTERVAL.as_millis(),
            self.bytes_max,
            self.path("line").display(),
            self.upstream.address,
        );
        std::fs::write(self.path("outstation.toml"), text).expect("write a configuration");
        self.path("outstation.toml")
    }

    /// The daemon, once it is ready.
    pub(crate) fn start(&mut self) {
        let config = self.configure();
        let notify = self.path("notify");
        drop(std::fs::remove_file(&notify));
        let socket = UnixDatagram::bind(&notify).expect("bind the notify socket");
        let trace = self.path(&format!("trace.{}", self.lives));
        self.lives += 1;
        let mut strace = strace(&trace)
            .arg(env!("CARGO_BIN_EXE_outstation"))
            .args(["run", "--log-format", "text", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", &notify)
            .env_remove("OUTSTATION_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("start strace");
        let said = Arc::new(Watched::default());
        let (stderr, heard) = (strace.stderr.take().expect("a pipe"), Arc::clone(&said));
        std::thread::spawn(move || listen(stderr, &heard));
        socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let mut message = [0; 4096];
        loop {
            let Ok(count) = socket.recv(&mut message) else {
                panic!("the daemon does not get ready:\n{}", said.with(Clone::clone));
            };
            if message[..count].starts_with(b"READY=1") {
                break;
            }
        }
        // The first word of the trace is the number of the first process traced.
        let text = std::fs::read_to_string(&trace).expect("read the trace");
        let daemon =
            text.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        let daemon = daemon.expect("a process number");
        self.running = Some(Running { strace, daemon, said, sent: self.sensor.sending.last });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// So many times so many readings, with a pause behind each: the pace of a sensor, by which its
    /// readings come in more than one commit. How many those are depends on the machine. A daemon that
    /// is traced on a busy one falls behind, and is waited for.
    pub(crate) fn feed(&mut self, times: usize, readings: u64, pause: Duration) {
        for _ in 0..times {
            self.sensor.send(readings);
            std::thread::sleep(pause);
            let expected = (self.sensor.sending.last - self.running().sent).saturating_sub(AHEAD);
            let said = &self.running().said;
            self.good(said.until("the daemon keeps up", |said| stored(said) >= expected));
        }
    }

    /// Feeds until the journal was begun anew in this life.
    pub(crate) fn feed_into_the_next_journal(&mut self, readings: u64, pause: Duration) {
        self.committed_some();
        let journal = self.path("log/log.db-wal");
        let number = || number(&journal).expect("a journal with a commit in it");
        let (first, deadline) = (number(), Instant::now() + PATIENCE);
        while number() == first {
            assert!(Instant::now() < deadline, "the journal was not begun anew");
            self.feed(1, readings, pause);
        }
    }

    /// Waits until the receiver has all that was sent.
    pub(crate) fn delivered(&self) {
        let last = self.sensor.sending.last;
        let delivered = self.upstream.until("all is delivered", |offers| highest(offers) == last);
        self.good(delivered);
    }

    /// Waits until the receiver has refused something.
    pub(crate) fn refused(&self) {
        let refused = |offers: &[_]| offers.iter().any(|offer: &Offer| !offer.accepted);
        let refused = self.upstream.until("something was refused", refused);
        self.good(refused);
    }

    /// Waits until all that was sent is committed, in a first life.
    pub(crate) fn committed(&self) {
        let last = format!("committed head={}\n", self.sensor.sending.last);
        let all = self.running().said.until("all is committed", |said| said.contains(&last));
        self.good(all);
    }

    /// Waits until something was committed in this life.
    pub(crate) fn committed_some(&self) {
        let said = &self.running().said;
        self.good(said.until("something is committed", |said| said.contains("committed head=")));
    }

    fn good(&self, waited: Result<(), String>) {
        if let Err(what) = waited {
            panic!("{what}:\n{}", self.said());
        }
    }

    /// What the daemon said in this life.
    pub(crate) fn said(&self) -> String {
        self.running().said.with(Clone::clone)
    }

    /// In good order, or not; then the line is plugged in anew for the next life.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.running.take().expect("it runs").end(signal);
        let trace = self.path(&format!("trace.{}", self.lives - 1));
        let log = self.path("log");
        self.parser.read_to_the_end(&trace, &log).expect("read the trace");
        self.is_what_happened(&log);
        self.sensor.replug();
    }

    /// What is rebuilt from the steps is what stands in the folder.
    fn is_what_happened(&self, log: &Path) {
        let mut medium = Medium::holding(&self.base);
        self.parser.steps.iter().for_each(|step| medium.apply(&step.what));
        let image = medium.image(Model::All);
        for name in ["log.db", JOURNAL, "log.db.torn"] {
            let rebuilt = image.get(name).map(|rebuilt| &rebuilt.bytes);
            let found = std::fs::read(log.join(name)).ok();
            assert!(rebuilt == found.as_ref(), "`{name}` is not what the trace says");
        }
    }

    pub(crate) fn finish(self) -> Recording {
        assert!(self.running.is_none(), "every life has ended");
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Recording {
            folder: self.folder.path().to_owned(),
            guard: Some(self.folder),
            boot_id: boot_id.expect("a boot id").trim().to_owned(),
            since: self.since,
            lives: self.lives,
            base: self.base,
            before: Before::default(),
            steps: self.parser.steps,
            sending: self.sensor.sending,
            standstill: self.standstill.end(),
            offers: self.upstream.offers(),
            length: self.length,
            bytes_max: self.bytes_max,
        }
    }
}

/// How many readings were committed in this life, by what the daemon said.
fn stored(said: &str) -> u64 {
    let next = number_after(said, " next_seq=").unwrap_or(1);
    let committed = said.rfind("committed head=").map(|at| &said[at..]);
    let head = committed.and_then(|said| number_after(said, "head="));
    head.map_or(0, |head| (head + 1).saturating_sub(next))
}

fn listen(mut stderr: ChildStderr, said: &Watched<String>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut bytes) {
        said.change(|said| said.push_str(&String::from_utf8_lossy(&bytes[..count])));
    }
}

impl Running {
    fn end(mut self, signal: Signal) {
        kill_process(self.daemon, signal).expect("send a signal");
        self.strace.wait().expect("wait for strace");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.strace.try_wait(), Ok(None)) {
            let _gone = kill_process(self.daemon, Signal::KILL);
            drop(self.strace.wait());
        }
    }
}
