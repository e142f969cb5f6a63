//! `outstation quarantine` beside a real daemon and without one, on a log in which a sink has refused
//! readings.
//!
//! Invariants checked: what is listed is what was refused, with its very values; what is changed is
//! durable when it is said to be; daemon and books agree; whoever may not is told what to do.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use outstation::app::log_config;
use outstation::clock::Clock;
use outstation::config::Config;
use outstation::event_log::actor::LogActor;
use outstation::event_log::{
    Acknowledgement, Append, Ask, Limits, LogHandle, LogStatus, Refused, channel,
};
use outstation::supervisor::heartbeat::Heartbeat;
use outstation_codec::Value as Measured;
use outstation_codec::{Channel, Lane, Sensor, Stamp, ValueType};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::files::permit;
use crate::kit::http::get;
use crate::kit::need::is_root;
use crate::kit::program::as_nobody;
use crate::kit::program::outstation;
use crate::kit::site::{Site, sink};
use crate::kit::wait::eventually;

const REASON: &str = "422 Unprocessable: no such tag \u{1b}[31m, and a long word about what might be \
                      done to make one";
/// What the sink refuses of thirty readings, number n of which has the value n / 2.
const REFUSED: [u64; 4] = [5, 17, 18, 29];

/// A site whose log was left by a daemon that could not deliver these.
fn prepared(upstream: &str) -> Site {
    let site = Site::new();
    let config = site.configure(&sink(upstream, "events = false"));
    let config = log_config(&Config::load(&config).expect("it is valid"), "site");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let actor = LogActor::open(config, Clock::system()).expect("the log opens");
        let (log, mailbox) = channel();
        let mut running = JoinSet::new();
        running.spawn(actor.run(Arc::new(Mutex::new(mailbox)), Heartbeat::unwatched()));
        refuse(&log).await;
        drop(log);
        running.join_next().await.expect("it ran").expect("no panic").expect("it ends well");
    });
    // What we had open, the child of another test's thread has too between its fork and its exec.
    let lock = std::fs::File::open(site.path("log.db.lock")).expect("the log's lock");
    let take = || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    eventually("nobody holds the log", take, |taken| *taken);
    flock(&lock, FlockOperation::Unlock).expect("unlock");
    site
}

async fn refuse(log: &LogHandle) {
    let channel = Channel { name: "level".into(), unit: "m".into(), kind: ValueType::F64 };
    let sensor =
        Arc::new(Sensor { port: "mcu".into(), name: "tank".into(), channels: vec![channel] });
    let mut append = Append { port: "mcu".into(), ..Append::default() };
    for number in 1..=30_i32 {
        let value = Measured::F64(f64::from(number) / 2.0);
        append.readings.push(&sensor, Stamp::boot(number.into()), [(0, value)]);
    }
    (append.intake.accepted, append.intake.frames) = (30, 30);
    log.appender().permit().await.expect("open").send(append);
    let stored = |status: &LogStatus| status.head == 30;
    log.status().wait_for(stored).await.expect("open");
    let reader = log.reader("cloud");
    let limits = Limits { readings_max: u64::MAX, bytes_max: usize::MAX };
    let ask = Ask { lanes: &[Lane::Alarm, Lane::Live, Lane::Backfill], limits };
    let batch = reader.next(ask).await.expect("open").expect("pending");
    for number in 1..=30 {
        if REFUSED.contains(&number) {
            let segment = batch.segments[0].cut(number, number).expect("it is in it");
            let refused = Refused { segment, reason: REASON.into() };
            reader.quarantine(refused).await.expect("open");
        } else {
            let receipt = Acknowledgement { readings: vec![(number, number)], events: None };
            reader.acknowledge(receipt).await.expect("open");
        }
    }
}

fn quarantine(site: &Site, args: &[&str]) -> Output {
    let config = site.path("outstation.toml").display().to_string();
    let (command, rest) = args.split_first().expect("a command");
    outstation(&[&["quarantine", command, "--config", &config], rest].concat())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn success(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(&output.stdout)
}

/// What a command says that fails.
fn declined(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}

fn listed(site: &Site, args: &[&str]) -> Vec<u64> {
    let output = quarantine(site, &[&["list", "--json"], args].concat());
    let lines = success(&output).lines();
    let objects = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    objects.map(|object| object["seq"].as_u64().expect("a number")).collect()
}

/// The classes of the ledger: delivered, pending, quarantined, refused.
fn books(status: &Value) -> [u64; 4] {
    let ledger = &status["ledger"];
    assert_eq!(ledger["balanced"], true, "{ledger}");
    let [delivered, pending, quarantined] =
        ["delivered", "pending", "quarantined"].map(|name| ledger[name].as_u64());
    [delivered, pending, quarantined, ledger["lost"]["refused"].as_u64()]
        .map(|count| count.expect("a count"))
}

fn stat(site: &Site) -> Value {
    let config = site.path("outstation.toml").display().to_string();
    let output = outstation(&["log", "stat", "--json", "--config", &config]);
    serde_json::from_str(success(&output)).expect("JSON")
}

fn is_sound(site: &Site) {
    let config = site.path("outstation.toml").display().to_string();
    let output = outstation(&["log", "verify", "--config", &config]);
    assert!(success(&output).starts_with("sound: "), "{output:?}");
}

/// A daemon that takes orders: its socket is there soon after it is ready.
fn listening(site: &Site, config: &str) -> Daemon {
    let daemon = site.start(config);
    let socket = site.path("log.db.control");
    eventually("it takes orders", || UnixStream::connect(&socket).is_ok(), |taken| *taken);
    daemon
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[test]
fn list_and_show_tell_what_was_refused_beside_a_daemon_and_without_one() {
    let site = prepared("127.0.0.1:9");
    let mut daemon = None;
    for beside in [false, true] {
        if beside {
            daemon = Some(site.start(&sink("127.0.0.1:9", "events = false")));
        }
        assert_eq!(listed(&site, &[]), REFUSED);
        assert_eq!(listed(&site, &["6-17", "29", "1"]), [17, 29]);
        assert_eq!(listed(&site, &["all", "--sink", "cloud"]), REFUSED);
        let list = quarantine(&site, &["list", "17"]);
        let line = success(&list);
        assert!(line.starts_with("cloud ") && line.matches('\n').count() == 1, "{line}");
        for part in
            [" 17  20", "  mcu/tank  level=8.5 m  422 Unprocessable: no such tag \\u{1b}", "…"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        let shown = quarantine(&site, &["show", "17-18"]);
        let shown = success(&shown);
        assert_eq!(shown.matches("  sink     cloud, kept, not offered\n").count(), 2, "{shown}");
        assert!(shown.contains("what might be done to make one\n"), "the whole reason: {shown}");
        assert!(shown.contains("level=9.0 m\n") && shown.contains("\n  refused  20"), "{shown}");
        let object = quarantine(&site, &["show", "29", "--json"]);
        let object: Value = serde_json::from_str(success(&object)).expect("JSON");
        assert_eq!((&object["device"], &object["sink"]), (&"site".into(), &"cloud".into()));
        assert_eq!((&object["reason"], &object["replayed"]), (&REASON.into(), &false.into()));
        assert_eq!(object["values"]["level"], 14.5);
        for args in [&["show", "6"][..], &["list", "--sink", "other"]] {
            let output = quarantine(&site, args);
            assert!(declined(&output).contains("nothing such is in quarantine"), "{output:?}");
        }
        let stat = stat(&site);
        assert_eq!(books(&stat), [26, 0, 4, 0]);
        assert_eq!(stat["sinks"][0]["quarantined"], 4);
        is_sound(&site);
    }
    let daemon = daemon.expect("started");
    let status = daemon.status();
    assert_eq!(books(&status), [26, 0, 4, 0]);
    assert_eq!(
        (&status["sinks"][0]["quarantined"], &status["sinks"][0]["refused"]),
        (&4.into(), &0.into())
    );
    let metrics = get(&daemon.address, "/metrics").1;
    assert!(
        metrics.contains("outstation_sink_quarantined_readings{sink=\"cloud\"} 4\n"),
        "{metrics}"
    );
    let page = outstation(&["status", "--url", &daemon.address]);
    assert!(success(&page).contains("4 refused (`outstation quarantine list`)"), "{page:?}");
    daemon.stop();
}

#[test]
fn of_damage_only_what_was_asked_for_and_is_kept_is_complained_about() {
    let site = prepared("127.0.0.1:9");
    let log = || rusqlite::Connection::open(site.log()).expect("opens");
    let damage = "UPDATE quarantine SET body = x'00' WHERE first_seq = 17";
    assert_eq!(log().execute(damage, []).expect("damaged"), 1);
    let complaint = "readings 17-17 in the quarantine of `cloud` are damaged; skipped\n";
    for (args, seqs, said) in [
        (&[][..], &[5, 18, 29][..], complaint),
        (&["5-17"], &[5], complaint),
        (&["5", "18-29"], &[5, 18, 29], ""),
    ] {
        let output = quarantine(&site, &[&["list", "--json"], args].concat());
        let count = success(&output).lines().count();
        assert_eq!((count, text(&output.stderr)), (seqs.len(), said), "{args:?}");
        assert_eq!(listed(&site, args), seqs);
    }
    // A row that the books do not know of any more.
    let unknown = "UPDATE quarantine SET first_seq = 16 WHERE first_seq = 17";
    assert_eq!(log().execute(unknown, []).expect("damaged"), 1);
    let output = quarantine(&site, &["list"]);
    assert_eq!((success(&output).lines().count(), text(&output.stderr)), (3, ""));
}

#[test]
fn with_a_daemon_replay_and_drop_take_effect_at_once_and_for_good() {
    let collector_site = Site::new();
    let collector = Collector::start(&collector_site);
    let site = prepared(&collector.address);
    let config = sink(&collector.address, "events = false");
    let daemon = listening(&site, &config);
    let replayed = quarantine(&site, &["replay", "17-18", "--sink", "cloud"]);
    assert_eq!(success(&replayed), "2 readings are offered to `cloud` once more\n");
    let delivered = |status: &Value| books(status) == [28, 0, 2, 0];
    eventually("they are delivered", || daemon.status(), delivered);
    let rows = collector.rows();
    let cells: Vec<_> = rows.iter().map(|row| (row.seq, row.cells["level"].clone())).collect();
    assert_eq!(cells, [(17, 8.5.into()), (18, 9.0.into())]);
    // The copies go with what else is in no hurry.
    let kept = || format!("{:?}", listed(&site, &[]));
    eventually("their copies are gone", kept, |kept| kept == "[5, 29]");
    let dropped = quarantine(&site, &["drop", "29"]);
    assert_eq!(success(&dropped), "1 readings that `cloud` refused are dropped\n");
    assert_eq!(books(&daemon.status()), [28, 0, 1, 1]);
    let again = quarantine(&site, &["drop", "29"]);
    assert!(declined(&again).contains("`outstation quarantine list` shows what is"), "{again:?}");
    // It was durable when it was said to be.
    daemon.kill();
    assert!(exists(&site.path("log.db.control")), "a killed daemon leaves its socket");
    let daemon = listening(&site, &config);
    assert_eq!(books(&daemon.status()), [28, 0, 1, 1]);
    let said = daemon.said();
    assert!(!said.contains("ERROR"), "{said}");
    let dropped = quarantine(&site, &["drop", "all"]);
    assert_eq!(success(&dropped), "1 readings that `cloud` refused are dropped\n");
    let said = eventually("it says so", || daemon.said(), |said| said.contains("ERROR"));
    for part in ["sink=\"cloud\"", "first_seq=5", "count=1", "outstation quarantine drop"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    daemon.stop();
    assert!(!exists(&site.path("log.db.control")));
    is_sound(&site);
    assert_eq!(collector.rows().len(), 2, "nothing else was sent");
}

#[test]
fn without_a_daemon_the_log_is_changed_all_the_same_and_the_next_one_goes_by_it() {
    let collector_site = Site::new();
    let collector = Collector::start(&collector_site);
    let site = prepared(&collector.address);
    let config = sink(&collector.address, "events = false");
    let daemon = site.start(&config);
    daemon.kill(); // its socket is still there
    let dropped = quarantine(&site, &["drop", "5"]);
    assert_eq!(success(&dropped), "1 readings that `cloud` refused are dropped\n");
    let replayed = quarantine(&site, &["replay", "all"]);
    assert_eq!(success(&replayed), "3 readings are offered to `cloud` once more\n");
    assert_eq!(books(&stat(&site)), [26, 3, 0, 1]);
    let shown = quarantine(&site, &["show", "29"]);
    assert!(success(&shown).contains("cloud, offered again"), "{shown:?}");
    is_sound(&site);
    let daemon = site.start(&config);
    let delivered = |status: &Value| books(status) == [29, 0, 0, 1];
    eventually("they are delivered", || daemon.status(), delivered);
    daemon.stop();
    let empty = quarantine(&site, &["list"]);
    assert_eq!((success(&empty), text(&empty.stderr)), ("", "nothing is in quarantine\n"));
    let seqs: Vec<i64> = collector.rows().iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [17, 18, 29]);
}

#[test]
fn whoever_cannot_change_it_is_told_what_to_do() {
    let site = prepared("127.0.0.1:9");
    let path = site.path("outstation.toml").display().to_string();
    let usage = quarantine(&site, &["drop"]);
    assert_eq!(usage.status.code(), Some(64), "{usage:?}");
    let usage = quarantine(&site, &["drop", "20-17"]);
    assert!(usage.status.code() == Some(64) && text(&usage.stderr).contains("such as 17, 17-20"));
    let other = Site::new();
    other.configure(&sink("127.0.0.1:9", ""));
    let absent = quarantine(&other, &["replay", "all"]);
    assert!(declined(&absent).contains("there is no log at"), "{absent:?}");
    assert!(!other.log().exists(), "and none is made");
    // A daemon has the log, and its socket is gone.
    let daemon = listening(&site, &sink("127.0.0.1:9", "events = false"));
    std::fs::remove_file(site.path("log.db.control")).expect("removed");
    let unheard = quarantine(&site, &["replay", "all"]);
    assert!(declined(&unheard).contains("try again, or stop it first"), "{unheard:?}");
    daemon.stop();
    // A daemon that does not answer.
    let daemon = site.start(&sink("127.0.0.1:9", "events = false"));
    daemon.signal(Signal::STOP);
    let listed = quarantine(&site, &["list"]);
    assert_eq!(success(&listed).lines().count(), 4, "looking needs no daemon");
    daemon.signal(Signal::CONT);
    if is_root() {
        let folder = site.log().parent().expect("a folder").to_owned();
        permit(&folder, 0o755);
        let output = as_nobody(&["quarantine", "drop", "all", "--config", &path]);
        assert!(
            declined(&output).contains("run it as root or as the user of the daemon"),
            "{output:?}"
        );
        daemon.stop();
        let output = as_nobody(&["quarantine", "drop", "all", "--config", &path]);
        assert!(declined(&output).contains("run as the user it belongs to"), "{output:?}");
    }
    is_sound(&site);
    assert_eq!(books(&stat(&site)), [26, 0, 4, 0]);
}
