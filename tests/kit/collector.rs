//! The reference receiver as a process of its own, and what stands in its database.

use std::io::BufRead as _;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::Value;

use super::http::get;
use super::process::Process;
use super::program::piped;
use super::site::Site;
use super::wait::eventually;

/// Killed when dropped; another one goes on at the same place with the same store.
#[derive(Debug)]
pub(crate) struct Collector {
    _process: Process,
    pub(crate) address: String,
    store: PathBuf,
}

/// One reading as received.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) port: String,
    pub(crate) sensor: String,
    pub(crate) time_ms: i64,
    pub(crate) cells: Value,
}

/// One event as received.
#[derive(Debug)]
pub(crate) struct CollectedEvent {
    pub(crate) position: u64,
    pub(crate) time_ms: i64,
    pub(crate) stream: String,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Collector {
    pub(crate) fn start(site: &Site) -> Self {
        Self::start_at(site, &site.address())
    }

    /// With these words on its command line.
    pub(crate) fn start_with(site: &Site, rest: &[&str]) -> Self {
        Self::listening(site, &site.address(), rest)
    }

    pub(crate) fn start_at(site: &Site, address: &str) -> Self {
        Self::listening(site, address, &[])
    }

    fn listening(site: &Site, address: &str, rest: &[&str]) -> Self {
        let store = site.path("collector.db");
        let path = store.display().to_string();
        let args = ["collect", "--log-format", "text", "--listen", address, "--store", &path];
        let mut process = piped(&[&args, rest].concat());
        let mut line = String::new();
        process.stdout().read_line(&mut line).expect("read its first line");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("it said `{line}`")).to_owned();
        Self { _process: process, address, store }
    }

    /// Ends it, as an outage would; gives back where it was.
    pub(crate) fn away(self) -> String {
        self.address.clone()
    }

    pub(crate) fn stats(&self) -> Value {
        let (code, body) = get(&self.address, "/stats");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("stats are JSON")
    }

    /// Everything received, by sequence number.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.read_rows().expect("read the collector's database")
    }

    /// What the newest reading says, if there is one.
    pub(crate) fn newest(&self) -> Option<Value> {
        let base = Connection::open_with_flags(&self.store, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let select = "SELECT cells FROM readings ORDER BY seq DESC LIMIT 1";
        let cells = base.and_then(|base| base.query_row(select, [], |row| row.get(0))).optional();
        let cells: Option<String> = cells.expect("read the collector's database");
        cells.map(|cells| serde_json::from_str(&cells).expect("cells are JSON"))
    }

    fn read_rows(&self) -> rusqlite::Result<Vec<Row>> {
        let base = Connection::open_with_flags(&self.store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut select = base.prepare(
            "SELECT seq, port, name, time_ms, cells FROM readings \
             JOIN sensors ON sensors.id = sensor_id ORDER BY seq",
        )?;
        let rows = select.query_map([], |row| {
            let cells: String = row.get(4)?;
            Ok(Row {
                seq: row.get(0)?,
                port: row.get(1)?,
                sensor: row.get(2)?,
                time_ms: row.get(3)?,
                cells: serde_json::from_str(&cells).expect("cells are JSON"),
            })
        })?;
        rows.collect()
    }

    /// Every event, by epoch as it came and position.
    pub(crate) fn events(&self) -> Vec<CollectedEvent> {
        self.read_events().expect("read the collector's database")
    }

    fn read_events(&self) -> rusqlite::Result<Vec<CollectedEvent>> {
        let base = Connection::open_with_flags(&self.store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut select = base.prepare(
            "SELECT position, time_ms, stream, kind, data FROM events ORDER BY device_id, position",
        )?;
        let rows = select.query_map([], |row| {
            let data: String = row.get(4)?;
            Ok(CollectedEvent {
                position: row.get::<_, i64>(0)?.unsigned_abs(),
                time_ms: row.get(1)?,
                stream: row.get(2)?,
                kind: row.get(3)?,
                data: serde_json::from_str(&data).expect("the data is JSON"),
            })
        })?;
        rows.collect()
    }

    /// Exactly `count` readings, numbered from one without a gap, each once. Says how often any
    /// came again.
    pub(crate) fn holds(&self, count: u64) -> u64 {
        let what = format!("the collector holds {count}");
        let stats = eventually(&what, || self.stats(), |stats| stats["unique"] == count);
        assert_eq!(stats["missing"], 0, "{stats}");
        assert_eq!(stats["devices"].as_array().map(Vec::len), Some(1), "{stats}");
        let seqs: Vec<i64> = self.rows().iter().map(|row| row.seq).collect();
        assert!(seqs.iter().copied().eq((1..).take(seqs.len())), "{seqs:?}");
        assert_eq!(seqs.len() as u64, count);
        stats["repeats"].as_u64().expect("a count")
    }

    /// What one port said, in order.
    pub(crate) fn values(&self, port: &str) -> Vec<Value> {
        let rows = self.rows().into_iter().filter(|row| row.port == port);
        rows.map(|row| row.cells).collect()
    }
}
