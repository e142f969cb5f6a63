//! A recording: the daemon under `strace`, through as many lives as the script wants.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::medium::{Image, Medium, Model};
use crate::sensor::Sensor;
use crate::trace::{CALLS, Parser, Step};
use crate::upstream::{Offer, Upstream};

const PATIENCE: Duration = Duration::from_secs(60);
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

/// What the daemon did, what it was told and what it told.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) folder: TempDir,
    /// What was there before the first step.
    pub(crate) base: Image,
    pub(crate) steps: Vec<Step>,
    pub(crate) sensor: Sensor,
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
}

/// Records what happens in a folder from a given state of it on.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: TempDir,
    base: Image,
    pub(crate) sensor: Sensor,
    pub(crate) upstream: Upstream,
    length: usize,
    bytes_max: u64,
    lives: u32,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    strace: Child,
    daemon: Pid,
}

impl Recorder {
    pub(crate) fn new(length: usize, bytes_max: u64) -> Self {
        let folder = TempDir::new().expect("make a folder");
        std::fs::create_dir(folder.path().join("log")).expect("make a folder");
        Self::at(folder, Image::new(), length, bytes_max, 1)
    }

    /// In a folder that holds `base`; the sensor goes on with the number `next`.
    pub(crate) fn at(
        folder: TempDir,
        base: Image,
        length: usize,
        bytes_max: u64,
        next: u64,
    ) -> Self {
        let line = folder.path().join("line");
        drop(std::fs::remove_file(&line));
        let sensor = Sensor::plug(&line, length, next);
        let upstream = Upstream::start(length);
        Self { folder, base, sensor, upstream, length, bytes_max, lives: 0, running: None }
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
        let stderr = File::create(self.path("stderr")).expect("make a file for stderr");
        let strace = Command::new("strace")
            .args(["-f", "-y", "-ttt", "--seccomp-bpf", "-xx", "-s", "200000"])
            .args(["-e", &format!("trace={CALLS}"), "-o"])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_outstation"))
            .args(["run", "--log-format", "text", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", &notify)
            .env_remove("OUTSTATION_LOG")
            .stderr(stderr)
            .spawn()
            .expect("start strace");
        socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let mut message = [0; 4096];
        loop {
            let count = socket.recv(&mut message).expect("the daemon gets ready");
            if message[..count].starts_with(b"READY=1") {
                break;
            }
        }
        // The first word of the trace is the number of the first process traced.
        let text = std::fs::read_to_string(&trace).expect("read the trace");
        let daemon =
            text.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        self.running = Some(Running { strace, daemon: daemon.expect("a process number") });
    }

    /// So many times so many readings, with a pause behind each.
    pub(crate) fn feed(&mut self, times: usize, readings: u64, pause: Duration) {
        for _ in 0..times {
            self.sensor.send(readings);
            std::thread::sleep(pause);
        }
    }

    /// Waits until the receiver has all that was sent.
    pub(crate) fn delivered(&self) {
        self.until("everything was delivered", || self.upstream.has() == self.sensor.last());
    }

    /// Waits until all that was sent is committed, in a first life.
    pub(crate) fn committed(&self) {
        let last = format!("committed head={}\n", self.sensor.last());
        self.until("everything is committed", || self.said().contains(&last));
    }

    fn until(&self, what: &str, good: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !good() {
            let said = || std::fs::read_to_string(self.path("stderr")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited in vain until {what}:\n{}", said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the daemon said in this life.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).expect("read stderr")
    }

    /// In good order, or not; then the line is plugged in anew for the next life.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.running.take().expect("it runs").end(signal);
        self.sensor.replug();
    }

    pub(crate) fn finish(self) -> Recording {
        assert!(self.running.is_none(), "every life has ended");
        let log = std::fs::canonicalize(self.path("log")).expect("the folder of the log");
        let mut parser = Parser::new(&log, self.base.keys().cloned());
        for life in 0..self.lives {
            let trace = std::fs::read_to_string(self.path(&format!("trace.{life}")));
            parser.read(&trace.expect("read a trace"));
        }
        Recording {
            folder: self.folder,
            base: self.base,
            steps: parser.steps,
            sensor: self.sensor,
            offers: self.upstream.offers(),
            length: self.length,
            bytes_max: self.bytes_max,
        }
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
