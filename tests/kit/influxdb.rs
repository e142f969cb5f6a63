//! A real InfluxDB, and what it holds.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::http::{encoded, request};
use super::need::installed;
use super::process::Process;
use super::site::Site;

const PROGRAM: &str = "influxd";
const DEBIAN_PACKAGES: &str = "influxdb";

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct InfluxDb {
    _process: Process,
    pub(crate) address: String,
}

impl InfluxDb {
    /// One that asks for a password, or not; none where InfluxDB is missing.
    pub(crate) fn start(site: &Site, auth: bool) -> Option<Self> {
        if !installed(PROGRAM, DEBIAN_PACKAGES) {
            return None;
        }
        let folder = site.path("influxdb").display().to_string();
        let address = site.address();
        let text = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n\
             [meta]\ndir = \"{folder}/meta\"\n\
             [data]\ndir = \"{folder}/data\"\nwal-dir = \"{folder}/wal\"\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"{address}\"\nauth-enabled = {auth}\n"
        );
        let config = site.write("influxdb.conf", &text);
        let log = site.path("influxdb.log");
        let stderr = std::fs::File::create(&log).expect("make a file");
        let mut command = Command::new(PROGRAM);
        command.arg("-config").arg(config).stdout(Stdio::null()).stderr(stderr);
        let mut process = Process::start(&mut command);
        process.listens(&address, &log);
        Some(Self { _process: process, address })
    }

    /// What a statement gives, as rows of objects without what is null.
    pub(crate) fn query(&self, credentials: &str, statement: &str) -> Vec<Value> {
        let path = format!("/query?db=site&epoch=ns{credentials}&q={}", encoded(statement));
        let (code, body) = request(&self.address, "POST", &path).expect("an answer");
        assert_eq!(code, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["results"][0]["error"], Value::Null, "{body}");
        let series = &answer["results"][0]["series"][0];
        let columns = series["columns"].as_array().cloned().unwrap_or_default();
        let rows = series["values"].as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            let cells = row.as_array().expect("a row").iter();
            let named = columns.iter().map(|name| name.as_str().expect("a name").to_owned());
            named.zip(cells.cloned()).filter(|(_, cell)| !cell.is_null()).collect()
        };
        rows.iter().map(|cells| Value::Object(row(cells))).collect()
    }
}
