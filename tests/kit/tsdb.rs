//! Real receivers of remote write, in a folder of their own, and what they hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::address::Reserved;
use super::http::{encoded, get, try_get};
use super::need::installed;
use super::process::Process;
use super::wait::eventually;

const PACKAGES: &str = "prometheus and victoria-metrics";

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
    _reserved: Reserved,
    process: Option<Process>,
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
        serde_json::from_str::<Value>(&body).expect("JSON")["data"].clone()
    }

    /// The series that an expression gives now.
    pub(crate) fn series(&self, expression: &str) -> Vec<Value> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(expression)));
        data["result"].as_array().expect("a list").clone()
    }

    pub(crate) fn victoria_metrics() -> Option<Self> {
        Self::start(Kind::VictoriaMetrics, "")
    }

    fn start(kind: Kind, config: &str) -> Option<Self> {
        let folder = TempDir::new().expect("make a folder");
        std::fs::write(folder.path().join("config.yml"), config).expect("write a file");
        let reserved = Reserved::new();
        let address = reserved.to_string();
        let mut tsdb = Self { kind, folder, address, _reserved: reserved, process: None };
        if !installed(tsdb.program(), PACKAGES) {
            return None;
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it (again), where it was and with what it has.
    pub(crate) fn restart(&mut self) {
        let (data, log) = (self.path("data"), self.path("log"));
        let log = File::options().create(true).append(true).open(log).expect("make a file");
        let mut command = Command::new(self.program());
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
        self.process = Some(Process::start(command.stdout(log).stderr(other)));
        let path = if self.kind == Kind::Prometheus { "/-/ready" } else { "/health" };
        let ready = || try_get(&self.address, path).map_or(0, |(code, _)| code);
        eventually("the receiver is ready", ready, |code| *code == 200);
    }

    /// As the OOM killer ends it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
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
        let series = self.series("{device!=\"\",port!=\"\"}[1d]");
        let points = |one: &Value| {
            let points = one["values"].as_array().expect("a list").iter();
            points.map(|point| (ms(&point[0]), number(point[1].as_str()))).collect()
        };
        series.iter().map(|one| (labels(&one["metric"]), points(one))).collect()
    }

    fn exported(&self) -> Held {
        drop(get(&self.address, "/internal/force_flush"));
        let [list, all] = ["match[]", "{device!=\"\",port!=\"\"}"].map(encoded);
        let (code, body) = get(&self.address, &format!("/api/v1/export?{list}={all}"));
        assert_eq!(code, 200, "{body}");
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
