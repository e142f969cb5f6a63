//! Tests of the collector over real sockets: which uploads it accepts and refuses, and what it remembers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use outstation_codec::{
    Anchor, Batch, EpochReason, EventRecord, Fault, FaultCounts, Loss, PublishedEvent, Sensor,
    Stamp, StoredSegment, Value, ValueType,
};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use bytes::Bytes;

use super::*;
use crate::test_kit::batches;

const PACKED: &str = "application/vnd.outstation.packed";
const LINES: &str = "application/x-ndjson";
const BOOT_AT_MS: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

/// A running collector, with the tasks that keep it and its clients running.
struct Site {
    address: SocketAddr,
    store: Store,
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
    token: Option<&'static str>,
}

impl Site {
    async fn start(store: Store) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), store, None).await
    }

    async fn start_at(listen: SocketAddr, store: Store, token: Option<&'static str>) -> Self {
        let config = CollectorConfig { listen, token: token.map(str::to_owned) };
        let collector = Collector::bind(config, store.clone()).await.expect("binds");
        let address = collector.local_addr();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(collector.run(async { stopped.await.unwrap_or(()) }));
        Self { address, store, stop: Some(stop), tasks, token }
    }

    async fn stop(mut self) -> (SocketAddr, Store) {
        drop(self.stop.take());
        self.tasks.join_next().await.expect("was running").expect("ends by itself");
        (self.address, self.store)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, Json) {
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("handshake");
        self.tasks.spawn(async { connection.await.unwrap_or(()) });
        let answer = sender.send_request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn post(&mut self, kind: &str, compression: &str, body: Vec<u8>) -> (StatusCode, Json) {
        let mut request = Request::post("/v1/readings").header(CONTENT_TYPE, kind);
        if !compression.is_empty() {
            request = request.header(CONTENT_ENCODING, compression);
        }
        if let Some(token) = self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    async fn get(&mut self, path: &str) -> (StatusCode, Json) {
        self.send(Request::get(path).body(Full::default()).unwrap()).await
    }

    async fn pack(&mut self, batch: &Batch) -> (StatusCode, Json) {
        self.post(PACKED, "zstd", zstd(&batch.to_packed().unwrap())).await
    }

    async fn lines(&mut self, lines: &[Json]) -> (StatusCode, Json) {
        self.post(LINES, "", text(lines)).await
    }

    async fn refuses(&mut self, batch: &Batch) -> String {
        let (status, body) = self.pack(batch).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(self.store.stats().borrow().unique, 0, "nothing of it is stored");
        body["error"].as_str().expect("a reason").to_owned()
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn memory() -> Store {
    Store::open(None).expect("opens")
}

fn text(lines: &[Json]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

fn line(seq: u64) -> Json {
    json!({
        "device": "pump-7", "epoch": 5, "seq": seq, "port": "mcu", "sensor": "t1",
        "time": "2026-01-01T00:00:01.250Z", "values": {"temperature": 21.37, "ok": true}
    })
}

fn segment(first_seq: u64, count: u32) -> StoredSegment {
    let values = vec![Value::F64(20.5), Value::Bool(true)];
    let row = |row| (3, Stamp::boot(1_250 + row), values.clone());
    batches::segment_of(first_seq, (0..i64::from(count)).map(row))
}

fn batch(segments: Vec<StoredSegment>) -> Batch {
    let channels = [("temperature", ValueType::F64), ("ok", ValueType::Bool)];
    let sensor = Sensor { port: "mcu".into(), ..batches::sensor("t1", &channels) };
    Batch {
        device: "pump-7".into(),
        epoch: 5,
        sensors: vec![(3, sensor)],
        boots: vec![(0, Some(Anchor { boot_at_ms: BOOT_AT_MS, set: true }))],
        ..batches::batch(vec![], segments)
    }
}

fn receipt(accepted: u64, repeats: u64) -> (StatusCode, Json) {
    receipt_of([accepted, repeats], [0, 0])
}

/// The counts of an answer: new and repeated readings, then new and repeated events.
fn receipt_of(readings: [u64; 2], events: [u64; 2]) -> (StatusCode, Json) {
    let ([accepted, repeats], [events, event_repeats]) = (readings, events);
    let receipt = json!({
        "accepted": accepted, "repeats": repeats, "events": events, "event_repeats": event_repeats
    });
    (StatusCode::OK, receipt)
}

/// Every reading as (seq, sensor, time, cells), as a person with a shell sees it.
fn history(path: &Path) -> Vec<(i64, String, String, String)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let select = "SELECT seq, port || '/' || sensor, time, cells FROM history ORDER BY seq";
    let mut select = connection.prepare(select).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    select.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn both_encodings_land_in_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    assert_eq!(site.pack(&batch(vec![segment(1, 1)])).await, receipt(1, 0));
    assert_eq!(site.lines(&[line(2)]).await, receipt(1, 0));
    let compressed = zstd(&text(&[line(3)]));
    assert_eq!(site.post(LINES, "zstd", compressed).await, receipt(1, 0));
    assert_eq!(site.post(LINES, "gzip", gzip(&text(&[line(4)]))).await, receipt(1, 0));
    let row = |seq, value: &str| {
        let time = "2026-01-01T00:00:01.250Z".to_owned();
        (seq, "mcu/t1".to_owned(), time, format!(r#"{{"temperature":{value},"ok":true}}"#))
    };
    let mut rows = history(&path);
    // The JSON object of a test orders its keys by name.
    let sorted = |value: &str| format!(r#"{{"ok":true,"temperature":{value}}}"#);
    assert_eq!(rows.remove(0), row(1, "20.5"));
    assert!(rows.iter().all(|row| row.3 == sorted("21.37")), "{rows:?}");
    assert!(
        rows.iter().all(|(_, sensor, time, _)| (sensor, time) == (&row(0, "").1, &row(0, "").2))
    );
}

#[tokio::test]
async fn repeats_are_counted_and_not_stored() {
    let mut site = Site::start(memory()).await;
    let upload = batch(vec![segment(1, 10), segment(11, 5)]);
    assert_eq!(site.pack(&upload).await, receipt(15, 0));
    assert_eq!(site.pack(&upload).await, receipt(0, 15));
    let overlapping = batch(vec![segment(8, 10)]);
    assert_eq!(site.pack(&overlapping).await, receipt(2, 8));
    assert_eq!(site.lines(&[line(17), line(18), line(18)]).await, receipt(1, 2));
    let stats = site.store.stats().borrow().clone();
    assert_eq!((stats.unique, stats.repeats, stats.missing), (18, 25, 0));
}

#[tokio::test]
async fn stats_name_what_is_missing() {
    let mut site = Site::start(memory()).await;
    site.pack(&batch(vec![segment(3, 2), segment(10, 1)])).await;
    let device = json!({
        "device": "pump-7", "epoch": 5, "unique": 3, "repeats": 0, "missing": 7,
        "first_seq": 3, "last_seq": 10, "begins": 1, "gaps": [[1, 2], [5, 9]],
        "events": 0, "event_repeats": 0, "last_event": 0
    });
    let expected = json!({
        "unique": 3, "repeats": 0, "missing": 7, "events": 0, "event_repeats": 0,
        "devices": [device]
    });
    assert_eq!(site.get("/stats").await, (StatusCode::OK, expected));
}

#[tokio::test]
async fn devices_and_epochs_are_kept_apart() {
    let mut site = Site::start(memory()).await;
    let mut other = line(1);
    other["epoch"] = json!(u64::MAX);
    assert_eq!(site.lines(&[line(1), other.clone(), line(2)]).await, receipt(3, 0));
    assert_eq!(site.lines(&[other]).await, receipt(0, 1));
    let (_, stats) = site.get("/stats").await;
    assert_eq!(stats["devices"][1]["epoch"], json!(u64::MAX));
    assert_eq!(stats["missing"], 0);
}

#[tokio::test]
async fn a_restart_on_the_same_file_and_address_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    site.pack(&batch(vec![segment(1, 10), segment(13, 2)])).await;
    let before = site.store.stats().borrow().clone();
    let (address, store) = site.stop().await;
    drop(store);
    let store = Store::open(Some(&path)).expect("opens again");
    assert_eq!(*store.stats().borrow(), before);
    let mut site = Site::start_at(address, store, None).await;
    assert_eq!(site.pack(&batch(vec![segment(9, 4)])).await, receipt(2, 2));
    assert_eq!(history(&path).len(), 14);
}

#[tokio::test]
async fn a_store_in_memory_outlives_its_collector() {
    let mut site = Site::start(memory()).await;
    site.lines(&[line(1)]).await;
    let (address, store) = site.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens in between");
    let mut site = Site::start_at(address, store, None).await;
    assert_eq!(site.lines(&[line(1), line(2)]).await, receipt(1, 1));
}

/// Starts an upload that announces nine bytes and sends one.
async fn unfinished(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\ncontent-type: ";
    stream.write_all(format!("{head}{LINES}\r\n\r\n{{").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn stopping_cuts_open_connections() {
    let site = Site::start(memory()).await;
    let mut stream = unfinished(site.address).await;
    site.stop().await;
    assert!(matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)), "no answer");
}

#[tokio::test]
async fn a_client_that_stalls_is_given_up() {
    let site = Site::start(memory()).await;
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    let mut slow = unfinished(site.address).await;
    // The connections are accepted before time is paused and runs ahead.
    assert!(timeout(Duration::from_millis(50), slow.read_u8()).await.is_err(), "waits");
    tokio::time::pause();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap(), 0, "closed");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_answered() {
    let mut site = Site::start(memory()).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(site.address).await.unwrap());
    }
    let early = timeout(Duration::from_millis(50), site.get("/health")).await;
    assert!(early.is_err(), "all places are taken");
    idle.clear();
    assert_eq!(site.get("/health").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(Some(&path)), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn the_shell_sees_gaps_and_single_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    site.pack(&batch(vec![segment(3, 2), segment(10, 1)])).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let one = |query: &str| connection.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT group_concat(first || '-' || last) FROM gaps"), "1-2,5-9");
    let values = "SELECT group_concat(channel || '=' || value) FROM measurements WHERE seq = 3";
    assert_eq!(one(values), "temperature=20.5,ok=1");
    let channels = "SELECT channels ->> '$[1].kind' FROM sensors";
    assert_eq!(one(channels), "bool");
}

#[tokio::test]
async fn only_the_right_token_gets_in() {
    let mut site = Site::start_at("127.0.0.1:0".parse().unwrap(), memory(), Some("secret")).await;
    assert_eq!(site.lines(&[line(1)]).await, receipt(1, 0));
    for wrong in [None, Some("secres"), Some("secret1"), Some("")] {
        site.token = wrong;
        let (status, body) = site.lines(&[line(2)]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    }
    assert_eq!(site.get("/stats").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get("/health").await.0, StatusCode::OK);
    assert_eq!(site.store.stats().borrow().unique, 1);
}

#[tokio::test]
async fn a_damaged_segment_refuses_the_whole_batch() {
    let mut site = Site::start(memory()).await;
    let mut upload = batch(vec![segment(1, 10), segment(11, 5)]);
    upload.segments[1].body[3] ^= 1;
    site.refuses(&upload).await;
    assert_eq!(site.lines(&[line(1)]).await, receipt(1, 0), "the store still works");
}

#[tokio::test]
async fn segments_that_lie_about_themselves_are_refused() {
    let mut site = Site::start(memory()).await;
    let alter = |alter: fn(&mut Batch)| {
        let mut upload = batch(vec![segment(1, 10), segment(11, 5)]);
        alter(&mut upload);
        upload
    };
    let hostile = [
        ("Overlap", alter(|b| b.segments[1].first_seq = 10)),
        ("Descending", alter(|b| b.segments.reverse())),
        ("Empty", alter(|b| b.segments[0].count = 0)),
        ("Seq 0", alter(|b| b.segments[0].first_seq = 0)),
        ("Seq 2^53 + 1", alter(|b| b.segments[1].first_seq = (1 << 53) - 3)),
        ("Seq at the end", alter(|b| b.segments[1].first_seq = u64::MAX)),
        ("Huge count", alter(|b| b.segments[1].count = u32::MAX)),
        ("Wrong count", alter(|b| b.segments[1].count = 6)),
        ("Unknown sensor", alter(|b| b.sensors[0].0 = 4)),
        ("Unknown channel", alter(|b| drop(b.sensors[0].1.channels.pop()))),
        ("Sensor twice", alter(|b| b.sensors.push(b.sensors[0].clone()))),
        ("Long name", alter(|b| b.sensors[0].1.name = "x".repeat(65))),
        ("Weird device", alter(|b| b.device = "../etc".into())),
        ("No device", alter(|b| b.device.clear())),
        ("Too many readings", batch((0..17).map(|n| segment(1 + n * 65_536, 65_536)).collect())),
    ];
    for (what, upload) in hostile {
        println!("{what}: {}", site.refuses(&upload).await);
    }
}

#[tokio::test]
async fn lines_that_make_no_sense_are_refused_with_their_number() {
    let mut site = Site::start(memory()).await;
    let alter = |key: &str, value: Json| {
        let mut line = line(2);
        line[key] = value;
        line.to_string()
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let hostile = [
        "{".to_owned(),
        "null".to_owned(),
        "\u{0}".to_owned(),
        alter("seq", json!(0)),
        alter("seq", json!(u64::MAX)),
        alter("seq", json!(-1)),
        alter("device", json!("a b")),
        alter("time", json!("yesterday")),
        alter("clock", json!("perhaps")),
        alter("values", json!({"a": {"b": 1}})),
        alter("values", json!({"a": "x".repeat(5000)})),
        alter("sensor", json!("x".repeat(65))),
        alter("values", json!(null)).replace("null", &deep),
        line(2).to_string().replace("21.37", &deep),
    ];
    for bad in hostile {
        let body = [text(&[line(1)]), bad.into_bytes()].concat();
        let (status, body) = site.post(LINES, "", body).await;
        println!("{}", body["error"]);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(site.store.stats().borrow().unique, 0);
    }
}

#[tokio::test]
async fn what_else_a_line_says_is_passed_over_however_deep() {
    let mut site = Site::start(memory()).await;
    let deep = format!("{{\"extra\":{}1{},", "[".repeat(100_000), "]".repeat(100_000));
    let body = line(1).to_string().replacen('{', &deep, 1);
    assert_eq!(site.post(LINES, "", body.into_bytes()).await, receipt(1, 0));
}

#[tokio::test]
async fn garbage_is_refused() {
    let mut site = Site::start(memory()).await;
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let mut bytes: Vec<u8> = (0..rng.usize(0..400)).map(|_| rng.u8(..)).collect();
        if round % 3 == 0 {
            bytes = zstd(&bytes);
        } else if round % 3 == 1 {
            // Most of the input is right: one byte of a good batch is changed.
            let mut upload = batch(vec![segment(1, 50)]);
            upload.events = vec![record(7, began(5, 1)), record(8, PublishedEvent::PortOpened)];
            bytes = upload.to_packed().unwrap();
            let at = rng.usize(0..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
            bytes = zstd(&bytes);
        }
        let (status, body) = site.post(PACKED, "zstd", bytes).await;
        // The receiver cannot notice that a name, number or date was changed.
        let known = [StatusCode::OK, StatusCode::BAD_REQUEST].contains(&status);
        assert!(known, "round {round}: {status} {body}");
    }
}

#[tokio::test]
async fn two_batches_in_one_body_are_refused() {
    let mut site = Site::start(memory()).await;
    let bytes = batch(vec![segment(1, 1)]).to_packed().unwrap();
    let body = [zstd(&bytes), zstd(&bytes)].concat();
    let (status, body) = site.post(PACKED, "zstd", body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn frames_are_joined_before_they_are_read() {
    let mut site = Site::start(memory()).await;
    let bytes = batch(vec![segment(1, 40)]).to_packed().unwrap();
    let (head, tail) = bytes.split_at(50);
    assert_eq!(site.post(PACKED, "", [zstd(head), zstd(tail)].concat()).await, receipt(40, 0));
}

#[tokio::test]
async fn a_small_body_that_unpacks_without_end_is_too_large() {
    let mut site = Site::start(memory()).await;
    let bomb = zstd(&vec![b' '; 65 << 20]);
    for kind in [PACKED, LINES] {
        let (status, body) = site.post(kind, "zstd", bomb.clone()).await;
        assert!(
            [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_REQUEST].contains(&status),
            "{body}"
        );
    }
    for (coding, newlines) in [("zstd", zstd(&[b'\n'; 2 << 20])), ("gzip", gzip(&[b'\n'; 2 << 20]))]
    {
        let (status, body) = site.post(LINES, coding, newlines).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    let bomb = gzip(&vec![b' '; 65 << 20]);
    let (status, body) = site.post(LINES, "gzip", bomb).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn a_large_body_is_too_large_and_its_sender_hears_it() {
    let mut site = Site::start(memory()).await;
    let (status, _) = site.post(LINES, "", vec![b' '; 17 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn other_types_encodings_methods_and_paths_are_told_so() {
    let mut site = Site::start(memory()).await;
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert_eq!(site.post("text/plain", "", text(&[line(1)])).await.0, unsupported);
    assert_eq!(site.post(LINES, "br", text(&[line(1)])).await.0, unsupported);
    let charset = "Application/X-NDJSON; charset=utf-8";
    assert_eq!(site.post(charset, "", text(&[line(1)])).await, receipt(1, 0));
    assert_eq!(site.get("/").await.0, StatusCode::NOT_FOUND);
    let put = Request::put("/v1/readings").body(Full::default()).unwrap();
    assert_eq!(site.send(put).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let post = Request::post("/stats").body(Full::default()).unwrap();
    assert_eq!(site.send(post).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(site.get("/health").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_reading_of_an_unset_clock_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    let mut unset = line(1);
    unset["clock"] = json!("unset");
    let mut upload = batch(vec![segment(2, 1)]);
    upload.boots = vec![];
    site.lines(&[unset, line(3)]).await;
    site.pack(&upload).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let select = "SELECT group_concat(clock_set) FROM (SELECT * FROM readings ORDER BY seq)";
    let marks: String = connection.query_row(select, [], |row| row.get(0)).unwrap();
    assert_eq!(marks, "0,0,1");
}

fn record(position: u64, event: PublishedEvent) -> EventRecord {
    EventRecord { position, stream: "port/mcu".into(), boot: 0, at_ms: 1_250, event }
}

fn began(epoch: u64, from: u64) -> PublishedEvent {
    PublishedEvent::EpochBegan { epoch, from, reason: EpochReason::Copied }
}

fn publishing(events: Vec<EventRecord>) -> Batch {
    Batch { sensors: vec![], events, ..batch(vec![]) }
}

fn event_line(position: u64) -> Json {
    json!({
        "device": "pump-7", "epoch": 5, "event": position, "stream": "port/mcu",
        "time": "2026-01-01T00:00:01.250Z", "kind": "port_lost", "reason": "lost"
    })
}

/// Every event, as a person with a shell sees it.
fn happened(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let select = "SELECT position || ' ' || time || ' ' || clock_set || ' ' || stream || ' ' || \
                  kind || ' ' || data FROM event_history ORDER BY epoch, position";
    let mut select = connection.prepare(select).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn events_land_in_the_same_table_from_both_encodings_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    let mut faults = FaultCounts::default();
    faults.add(Fault::Crc, 3);
    let mut upload = batch(vec![segment(1, 2)]);
    upload.events = vec![
        record(1, PublishedEvent::PortOpened),
        record(4, PublishedEvent::FramesLost { faults: faults.clone() }),
    ];
    assert_eq!(site.pack(&upload).await, receipt_of([2, 0], [2, 0]));
    assert_eq!(site.pack(&upload).await, receipt_of([0, 2], [0, 2]));
    let lost = PublishedEvent::PortLost { reason: "lost".into() };
    assert_eq!(site.pack(&publishing(vec![record(5, lost)])).await, receipt_of([0, 0], [1, 0]));
    let lines = [event_line(5), event_line(6), line(3)];
    assert_eq!(site.lines(&lines).await, receipt_of([1, 0], [1, 1]));
    let row = |position, says| format!("{position} 2026-01-01T00:00:01.250Z 1 port/mcu {says}");
    let expected = [
        row(1, "port_opened {}"),
        row(4, r#"frames_lost {"faults":{"crc":3}}"#),
        row(5, r#"port_lost {"reason":"lost"}"#),
        row(6, r#"port_lost {"reason":"lost"}"#),
    ];
    assert_eq!(happened(&path), expected);
    let stats = site.store.stats().borrow().clone();
    assert_eq!((stats.unique, stats.repeats, stats.missing), (3, 2, 0));
    assert_eq!((stats.events, stats.event_repeats), (4, 3));
    assert_eq!(stats.devices[0].last_event, 6);

    // A restarted collector knows the events that it has.
    let (_, store) = site.stop().await;
    drop(store);
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    assert_eq!(*site.store.stats().borrow(), stats);
    assert_eq!(site.lines(&[event_line(6)]).await, receipt_of([0, 0], [0, 1]));
}

#[tokio::test]
async fn what_a_newer_device_tells_in_lines_is_kept_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    let mut upload = event_line(1);
    upload["kind"] = json!("door_opened");
    upload["clock"] = json!("unset");
    upload["by"] = json!({"person": ["a", 1.5, null]});
    assert_eq!(site.lines(&[upload]).await, receipt_of([0, 0], [1, 0]));
    let says = r#"door_opened {"by":{"person":["a",1.5,null]},"reason":"lost"}"#;
    assert_eq!(happened(&path), [format!("1 2026-01-01T00:00:01.250Z 0 port/mcu {says}")]);
}

#[tokio::test]
async fn an_epoch_that_goes_on_with_an_older_numbering_has_no_gap_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    let gaps = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let gaps = "SELECT group_concat(epoch || ':' || first || '-' || last, ' ') FROM gaps";
        connection.query_row(gaps, [], |row| row.get::<_, Option<String>>(0)).unwrap()
    };
    // The readings come first, as in a batch that was cut before the event.
    site.pack(&batch(vec![segment(103, 5)])).await;
    assert_eq!(site.store.stats().borrow().missing, 102);
    // An event about an earlier epoch, which gives no first number for this one.
    let upload = publishing(vec![record(8, began(4, 50)), record(9, began(5, 101))]);
    assert_eq!(site.pack(&upload).await, receipt_of([0, 0], [2, 0]));
    let device = site.store.stats().borrow().devices[0].clone();
    assert_eq!((device.begins, device.missing, device.gaps), (101, 2, vec![(101, 102)]));
    assert_eq!(gaps().as_deref(), Some("5:101-102"));

    // The same in lines, in one upload with the readings, and after a restart.
    let mut began = event_line(3);
    began["kind"] = json!("epoch_began");
    (began["epoch"], began["began"], began["from"]) = (json!(6), json!(6), json!(108));
    let mut first = line(108);
    first["epoch"] = json!(6);
    assert_eq!(site.lines(&[began, first]).await, receipt_of([1, 0], [1, 0]));
    site.pack(&batch(vec![segment(101, 2)])).await;
    let (_, store) = site.stop().await;
    drop(store);
    let stats = Store::open(Some(&path)).unwrap().stats().borrow().clone();
    assert_eq!((stats.unique, stats.missing), (8, 0));
    assert_eq!(gaps(), None);
}

#[tokio::test]
async fn events_that_make_no_sense_are_refused_by_name() {
    let mut site = Site::start(memory()).await;
    let sensor = |name: String| {
        let sensor = Sensor { port: "p".into(), name, channels: vec![] };
        publishing(vec![record(1, PublishedEvent::SensorDescribed { id: 1, sensor })])
    };
    let mut nameless = publishing(vec![record(1, PublishedEvent::PortOpened)]);
    nameless.events[0].stream.clear();
    let mut long = publishing(vec![record(1, PublishedEvent::PortOpened)]);
    long.events[0].stream = "x".repeat(129);
    let many = (1..=65_537).map(|position| record(position, PublishedEvent::PortOpened)).collect();
    let hostile = [
        (
            publishing(vec![record(0, PublishedEvent::PortOpened)]),
            "event position 0 is not between",
        ),
        (
            publishing(vec![record(u64::MAX, PublishedEvent::PortOpened)]),
            "event position 18446744073709551615",
        ),
        (publishing(vec![record(1, began(5, 0))]), "sequence number 0 is not between"),
        (publishing(many), "an upload holds at most"),
        (sensor("x".repeat(1 << 20)), "event 1 is longer than 256 KiB"),
        (nameless, "named by 1 to 128 bytes"),
        (long, "named by 1 to 128 bytes"),
    ];
    for (upload, why) in hostile {
        let said = site.refuses(&upload).await;
        assert!(said.contains(why), "{said}");
    }
    let alter = |key: &str, value: Json| {
        let mut line = event_line(2);
        line[key] = value;
        line.to_string()
    };
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let began =
        alter("kind", json!("epoch_began")).replace(r#""reason""#, r#""from":0,"began":5,"x""#);
    let hostile = [
        (alter("event", json!(0)), "event position 0"),
        (alter("event", json!(-1)), "failed to read line 3"),
        (alter("event", json!("17")), "failed to read line 3"),
        (alter("kind", json!("")), "named by 1 to 128 bytes"),
        (alter("kind", json!(null)), "failed to read line 3"),
        (alter("stream", json!("x".repeat(129))), "named by 1 to 128 bytes"),
        (alter("device", json!("a b")), "a device is named by"),
        (alter("time", json!("yesterday")), "`time` of line 3"),
        (alter("clock", json!("perhaps")), "failed to read line 3"),
        (
            alter("reason", json!("x".repeat(256 << 10))),
            "the event of line 3 is longer than 256 KiB",
        ),
        (event_line(2).to_string().replace(r#""lost""#, &deep), "failed to read line 3"),
        (began, "sequence number 0"),
    ];
    for (bad, why) in hostile {
        let body = [text(&[line(1), event_line(1)]), bad.into_bytes()].concat();
        let (status, body) = site.post(LINES, "", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(body["error"].as_str().is_some_and(|said| said.contains(why)), "{body}");
        assert_eq!(site.store.stats().borrow().events, 0);
    }
    // The event is odd, but no reason to refuse the rest of the batch.
    let backwards = PublishedEvent::Lost { loss: Loss::Damaged, first: u64::MAX, last: 0 };
    assert_eq!(
        site.pack(&publishing(vec![record(1, backwards)])).await,
        receipt_of([0, 0], [1, 0])
    );
}

#[tokio::test]
async fn a_collection_of_an_earlier_version_is_brought_to_the_next_with_all_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.db");
    let mut site = Site::start(Store::open(Some(&path)).unwrap()).await;
    assert_eq!(site.pack(&batch(vec![segment(3, 2)])).await, receipt(2, 0));
    drop(site.stop().await);
    let before = history(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version = |expected: i64| {
        let found = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        assert_eq!(found.unwrap(), expected);
    };
    let step = "CREATE TABLE notes (note TEXT) STRICT;";
    let fails = [store::MIGRATIONS[0], step, "INSERT INTO nowhere VALUES (1);"];
    store::prepare(&connection, &fails).expect_err("there is no such table");
    connection.execute_batch("ROLLBACK").unwrap();
    version(1);
    for _ in 0..2 {
        assert!(store::prepare(&connection, &[store::MIGRATIONS[0], step]).unwrap());
        version(2);
        connection.execute("INSERT INTO notes VALUES ('once')", []).unwrap();
        assert_eq!(history(&path), before);
    }
    assert_eq!(before.len(), 2);
    assert!(matches!(Store::open(Some(&path)), Err(StoreError::Foreign { .. })), "it is newer");
}
