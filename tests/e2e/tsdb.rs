//! Real receivers of remote write, in a folder of their own, and what they hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::site::{eventually, get};

/// Each series by its labels, as `name=value` in order, with its (Unix ms, value) pairs.
pub(crate) type Held = BTreeMap<String, Vec<(i64, f64)>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prometheus,
    VictoriaMetrics,
}

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Tsdb {
    kind: Kind,
    folder: TempDir,
    pub(crate) address: String,
    child: Option<Child>,
}

impl Tsdb {
    pub(crate) fn prometheus() -> Option<Self> {
        Self::prometheus_with("")
    }

    /// With this `tsdb` section in its configuration.
    pub(crate) fn prometheus_with(tsdb: &str) -> Option<Self> {
        let rest = if tsdb.is_empty() { "" } else { "storage:\n  tsdb:\n" };
        Self::start(Kind::Prometheus, &format!("{rest}{tsdb}"))
    }

    /// With this configuration.
    pub(crate) fn scraping(config: &str) -> Option<Self> {
        Self::start(Kind::Prometheus, config)
    }

    /// What it says at a path of its API.
    pub(crate) fn ask(&self, path: &str) -> Value {
        let (code, body) = get(&self.address, path);
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&unchunked(&body)).expect("JSON")["data"].clone()
    }

    /// The series that an expression gives now.
    pub(crate) fn series(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().expect("a list").clone()
    }

    pub(crate) fn victoria_metrics() -> Option<Self> {
        Self::start(Kind::VictoriaMetrics, "")
    }

    fn start(kind: Kind, config: &str) -> Option<Self> {
        let folder = TempDir::new().expect("make a folder");
        std::fs::write(folder.path().join("config.yml"), config).expect("write a file");
        let free = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let mut tsdb = Self { kind, folder, address, child: None };
        if tsdb
            .command()
            .arg("--version")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            return skipped(&format!("`{}` is missing", tsdb.program()));
        }
        tsdb.restart();
        Some(tsdb)
    }

    fn program(&self) -> &'static str {
        match self.kind {
            Kind::Prometheus => "prometheus",
            Kind::VictoriaMetrics => "victoria-metrics",
        }
    }

    fn command(&self) -> Command {
        Command::new(self.program())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it (again), where it was and with what it has.
    pub(crate) fn restart(&mut self) {
        let (data, log) = (self.path("data"), self.path("log"));
        let log = File::options().create(true).append(true).open(log).expect("make a file");
        let mut command = self.command();
        match self.kind {
            Kind::Prometheus => {
                command
                    .arg(format!("--config.file={}", self.path("config.yml").display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--web.listen-address={}", self.address))
                    .arg("--web.enable-remote-write-receiver");
            }
            Kind::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={}", data.display()))
                    .arg(format!("-httpListenAddr={}", self.address));
            }
        }
        let other = log.try_clone().expect("share a file");
        self.child = Some(command.stdout(log).stderr(other).spawn().expect("start it"));
        let path = if self.kind == Kind::Prometheus { "/-/ready" } else { "/health" };
        let ready = || match std::net::TcpStream::connect(&self.address) {
            Ok(_) => get(&self.address, path).0,
            Err(_) => 0,
        };
        eventually("the receiver is ready", ready, |code| *code == 200);
    }

    /// As the OOM killer ends it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    pub(crate) fn url(&self) -> String {
        write_url(&self.address)
    }

    /// All it holds of devices.
    pub(crate) fn holds(&self) -> Held {
        match self.kind {
            Kind::Prometheus => self.queried(),
            Kind::VictoriaMetrics => self.exported(),
        }
    }

    fn queried(&self) -> Held {
        // Spelled out, because the client here does not encode: {device!="",port!=""}[1d]
        let query = "%7Bdevice!=%22%22,port!=%22%22%7D%5B1d%5D";
        let (code, body) = get(&self.address, &format!("/api/v1/query?query={query}"));
        assert_eq!(code, 200, "{body}");
        // The body comes in chunks; all that matters lies between the outermost braces.
        let answer: Value = serde_json::from_str(&unchunked(&body)).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("a list").iter();
        let points = |one: &Value| {
            let points = one["values"].as_array().expect("a list").iter();
            points.map(|point| (ms(&point[0]), number(point[1].as_str()))).collect()
        };
        series.map(|one| (labels(&one["metric"]), points(one))).collect()
    }

    fn exported(&self) -> Held {
        drop(get(&self.address, "/internal/force_flush"));
        let path = "/api/v1/export?match%5B%5D=%7Bdevice!=%22%22,port!=%22%22%7D";
        let (code, body) = get(&self.address, path);
        assert_eq!(code, 200, "{body}");
        let body = unchunked(&body);
        let lines = body.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let points = |one: &Value| {
            let list = |name: &str| one[name].as_array().expect("a list").clone();
            let times = list("timestamps").into_iter().map(|time| time.as_i64().expect("ms"));
            times.zip(list("values").iter().map(|v| v.as_f64().expect("a number"))).collect()
        };
        lines.map(|one| (labels(&one["metric"]), points(&one))).collect()
    }
}

impl Drop for Tsdb {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            drop(writeln!(std::io::stderr().lock(), "--- {} said:\n{said}---", self.program()));
        }
    }
}

pub(crate) fn write_url(address: &str) -> String {
    format!("http://{address}/api/v1/write")
}

fn labels(metric: &Value) -> String {
    let metric = metric.as_object().expect("an object");
    let sorted: BTreeMap<_, _> = metric.iter().collect();
    let shown =
        sorted.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("?")));
    shown.collect::<Vec<_>>().join(",")
}

#[expect(clippy::cast_possible_truncation, reason = "it is a time of this century")]
fn ms(seconds: &Value) -> i64 {
    (seconds.as_f64().expect("seconds") * 1000.0).round() as i64
}

fn number(text: Option<&str>) -> f64 {
    match text.expect("a number as text") {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().expect("a number"),
    }
}

/// The body of an answer that may have come in chunks.
fn unchunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        whole.push_str(after.get(..size).unwrap_or_default());
        rest = after.get(size + 2..).unwrap_or_default();
    }
    if whole.is_empty() { body.to_owned() } else { whole }
}

pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "{why}; install prometheus and victoria-metrics");
    drop(writeln!(
        std::io::stderr().lock(),
        "SKIPPED: {why}; install prometheus and victoria-metrics"
    ));
    None
}
