//! `outstation log` beside a real daemon, after one, and on what is left of a log.
//!
//! Invariants checked: it tells what the daemon tells; it neither needs nor hinders the daemon, nor
//! changes a log; what is damaged is named and does not hide the rest.

use std::fs::{self};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::kit::daemon::Daemon;
use crate::kit::files::permit;
use crate::kit::line::Line;
use crate::kit::process::Process;
use crate::kit::program::as_nobody;
use crate::kit::program::{PROGRAM, outstation, piped};
use crate::kit::readings::{json, json_lines};
use crate::kit::site::{Site, json_port, sink};

/// `outstation log` on the site's own log.
fn log(site: &Site, args: &[&str]) -> Output {
    let config = site.path("outstation.toml").display().to_string();
    let (command, rest) = args.split_first().expect("a command");
    outstation(&[&["log", command, "--config", &config], rest].concat())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

/// Standard output of a command that succeeds.
fn success(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(output)
}

fn values(lines: &str) -> Vec<Value> {
    let value = |line| serde_json::from_str::<Value>(line).expect("JSON");
    lines.lines().map(value).collect()
}

fn numbers(lines: &str) -> Vec<u64> {
    values(lines).iter().map(|line| line["seq"].as_u64().expect("a number")).collect()
}

/// A daemon that stores in segments of ten what nobody takes.
fn storing(site: &Site, segments: u64) -> (Line, Daemon) {
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink("127.0.0.1:9", "")));
    for segment in 1..=segments {
        line.send(json_lines((segment - 1) * 10..segment * 10));
        daemon.stored(segment * 10);
    }
    (line, daemon)
}

/// The same, stopped in good order.
fn stored(site: &Site, segments: u64) {
    let (_line, daemon) = storing(site, segments);
    daemon.stop();
}

#[test]
fn beside_a_daemon_it_tells_what_the_daemon_tells() {
    let site = Site::new();
    let (_line, daemon) = storing(&site, 3);
    let status = daemon.status();

    let stat: Value =
        serde_json::from_str(success(&log(&site, &["stat", "--json"]))).expect("JSON");
    assert_eq!(stat["epoch"], status["log"]["epoch"]);
    assert_eq!((&stat["first_seq"], &stat["last_seq"]), (&1.into(), &30.into()));
    assert_eq!(stat["lanes"]["live"]["readings"], 30);
    assert_eq!(stat["lanes"]["live"]["pending"], 30);
    assert_eq!(stat["sinks"][0]["name"], "cloud");
    assert_eq!(stat["sinks"][0]["pending"], 30);
    assert_eq!(stat["ledger"]["balanced"], true);
    assert_eq!(stat["max_bytes"], 256 << 20);
    let page = log(&site, &["stat"]);
    for text in ["format 1", "30 of them pending", "sink     cloud", "balanced", "flash "] {
        assert!(success(&page).contains(text), "{text}\n{}", stdout(&page));
    }

    let shown = log(&site, &["show", "--format", "json"]);
    let lines = values(success(&shown));
    assert_eq!(numbers(stdout(&shown)), (1..=30).collect::<Vec<_>>());
    let said: Vec<Value> = lines.iter().map(|line| line["values"].clone()).collect();
    assert_eq!(said, (0..30).map(json).collect::<Vec<_>>());
    assert_eq!((&lines[0]["device"], &lines[0]["epoch"]), (&"site".into(), &stat["epoch"]));
    let table = log(&site, &["show"]);
    assert!(
        success(&table).lines().next().expect("a row").contains("  text/text  n=0"),
        "{table:?}"
    );

    let verdict = log(&site, &["verify"]);
    assert!(success(&verdict).starts_with("sound: "), "{verdict:?}");
    assert!(stdout(&verdict).contains("with 30 readings (numbers 1 to 30)"), "{verdict:?}");
    assert!(stdout(&verdict).trim_end().ends_with("ledger balanced"), "{verdict:?}");

    let pending = log(&site, &["export", "-", "--pending"]);
    assert_eq!(success(&pending), stdout(&shown));
    daemon.stop();
    assert_eq!(success(&log(&site, &["show", "--format", "json"])), stdout(&shown));
}

#[test]
fn only_what_is_wanted_is_shown() {
    let site = Site::new();
    stored(&site, 3);
    let shown = |args: &[&str]| {
        let output = log(&site, &[&["show", "--format", "json"], args].concat());
        numbers(success(&output))
    };
    assert_eq!(shown(&["-n", "4"]), [27, 28, 29, 30]);
    assert_eq!(shown(&["-n", "12", "--port", "text"]), (19..=30).collect::<Vec<_>>());
    assert_eq!(shown(&["-n", "100", "--sensor", "text"]).len(), 30);
    assert!(shown(&["--port", "other"]).is_empty() && shown(&["--sensor", "other"]).is_empty());
    assert_eq!(shown(&["--since", "1h"]).len(), 30);
    assert!(shown(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
    assert_eq!(shown(&["--since", "1h", "-n", "3"]), [28, 29, 30]);

    let csv = log(&site, &["show", "--format", "csv", "-n", "1"]);
    let rows: Vec<&str> = success(&csv).split_terminator("\r\n").collect();
    assert_eq!(rows[0], "seq,time,clock,port,sensor,channel,value,unit");
    assert!(rows[1].starts_with("30,") && rows[1].ends_with(",set,text,text,n,29,"), "{rows:?}");
    assert_eq!(rows.len(), 3);

    let events = log(&site, &["show", "--events", "--format", "json"]);
    let kinds: Vec<Value> =
        values(success(&events)).iter().map(|event| event["kind"].clone()).collect();
    for kind in ["boot_started", "epoch_began", "port_opened", "sensor_described"] {
        assert!(kinds.contains(&kind.into()), "{kind}\n{kinds:?}");
    }
    let wrong = log(&site, &["show", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}

fn follow(site: &Site, args: &[&str]) -> (Process, BufReader<ChildStdout>) {
    let config = site.path("outstation.toml").display().to_string();
    let show = ["log", "show", "--follow", "--format", "json", "--config", &config];
    let mut process = piped(&[&show, args].concat());
    let lines = process.stdout();
    (process, lines)
}

fn next(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn following_shows_what_comes_and_ends_in_peace() {
    let site = Site::new();
    let (mut line, daemon) = storing(&site, 1);
    let (mut following, mut lines) = follow(&site, &["-n", "1"]);
    assert_eq!(next(&mut lines)["seq"], 10);
    for segment in 1..4 {
        line.send(json_lines(segment * 10..segment * 10 + 10));
        for seq in segment * 10 + 1..=segment * 10 + 10 {
            assert_eq!(next(&mut lines)["seq"], seq);
        }
    }
    // A daemon that starts again finds its follower still there.
    daemon.stop();
    drop(line);
    line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink("127.0.0.1:9", "")));
    line.send(json_lines(40..41));
    assert_eq!(next(&mut lines)["seq"], 41);

    following.signal(Signal::INT);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
    assert_eq!(following.end().code(), Some(0));
    daemon.stop();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let site = Site::new();
    let (mut line, daemon) = storing(&site, 1);
    line.send(json_lines(10..3_000));
    daemon.stored(3_000);
    // Nothing more comes, so no write would tell.
    let (mut following, mut lines) = follow(&site, &[]);
    assert_eq!(next(&mut lines)["seq"], 1);
    drop(lines);
    assert_eq!(following.end().code(), Some(0));

    for args in [&["show"][..], &["export", "-"]] {
        let config = site.path("outstation.toml").display().to_string();
        let args = [&["log", args[0], "--config", &config], &args[1..]].concat();
        let mut child = Command::new(PROGRAM)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
    }
    daemon.stop();
}

#[test]
fn a_flipped_bit_is_found_and_named_and_does_not_hide_the_rest() {
    let site = Site::new();
    stored(&site, 3);
    let database = Connection::open(site.log()).expect("open the log");
    let firsts: Vec<u64> = {
        let mut select =
            database.prepare("SELECT first_seq FROM segments ORDER BY 1").expect("a query");
        let rows = select.query_map([], |row| row.get::<_, i64>(0)).expect("rows");
        rows.map(|first| first.expect("a number").unsigned_abs()).collect()
    };
    let (first, end) = (firsts[1], firsts[2] - 1);
    let row = i64::try_from(first).expect("a small number");
    let body: Vec<u8> = database
        .query_row("SELECT body FROM segments WHERE first_seq = ?1", [row], |row| row.get(0))
        .expect("a body");
    let mut damaged = body;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    let key = rusqlite::params![damaged, row];
    database.execute("UPDATE segments SET body = ?1 WHERE first_seq = ?2", key).expect("damaged");
    drop(database);

    let verdict = log(&site, &["verify"]);
    assert_eq!(verdict.status.code(), Some(1), "{verdict:?}");
    let range = format!("segment {first}-{end} is damaged");
    assert!(stdout(&verdict).contains(&range), "{range}\n{verdict:?}");
    assert!(stdout(&verdict).contains("NOT SOUND"), "{verdict:?}");
    assert!(stderr(&verdict).contains("1 problem"), "{verdict:?}");
    assert!(stderr(&verdict).contains("counts damaged segments as lost"), "{verdict:?}");
    let verdict = log(&site, &["verify", "--json"]);
    let json: Value = serde_json::from_str(stdout(&verdict)).expect("JSON");
    assert_eq!((&json["sound"], &json["problems_total"]), (&false.into(), &1.into()));

    let shown = log(&site, &["show", "--format", "json"]);
    let rest: Vec<u64> = (1..=30).filter(|seq| !(first..=end).contains(seq)).collect();
    assert_eq!(numbers(success(&shown)), rest);
    assert!(stderr(&shown).contains(&format!("readings {first}-{end} are damaged")), "{shown:?}");
}

#[test]
fn a_snapshot_or_an_event_that_is_damaged_and_a_hole_in_the_numbers_are_found() {
    let found = |damage: &str, expected: &str| {
        let site = Site::new();
        stored(&site, 3);
        let database = Connection::open(site.log()).expect("open the log");
        assert_eq!(database.execute(damage, []).expect("damaged"), 1, "{damage}");
        drop(database);
        let verdict = log(&site, &["verify"]);
        assert_eq!(verdict.status.code(), Some(1), "{damage}\n{verdict:?}");
        assert!(stdout(&verdict).contains(expected), "{damage}\n{verdict:?}");
    };
    let second = "(SELECT min(first_seq) FROM segments WHERE first_seq > 1)";
    found(&format!("DELETE FROM segments WHERE first_seq = {second}"), "are neither readable nor");
    found(
        "UPDATE events SET at_ms = at_ms + 1 WHERE stream = 'registry' AND version = 1",
        "event 1 of `registry` is damaged",
    );
    found(
        "DELETE FROM events WHERE stream = 'clock' AND version = 1",
        "the books cannot be rebuilt",
    );
}

#[test]
fn a_reader_beside_keeps_neither_the_commits_nor_the_journal_from_going_on() {
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = site.start(&json_port(&line));
    let going = AtomicBool::new(true);
    // No codec makes it small, so that the log has much to write.
    let mut seed = 1_u64;
    let mut noise = || -> String {
        let mut letter = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'0' + u8::try_from(seed >> 58).expect("six bits"))
        };
        let text: String = (0..3_500).map(|_| letter()).collect();
        text.replace('\\', "~")
    };
    let journal = site.path("log.db-wal");
    let len = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let (rounds, largest) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut rounds = 0;
            while going.load(Ordering::Relaxed) {
                success(&log(&site, &["show", "--format", "csv"]));
                rounds += 1;
            }
            rounds
        });
        let mut largest = 0;
        for round in 0..120 {
            let lines: String = (0..20).map(|_| format!("{{\"t\":\"{}\"}}\n", noise())).collect();
            line.send(lines);
            daemon.stored(20 * (round + 1));
            largest = largest.max(len(&journal));
        }
        going.store(false, Ordering::Relaxed);
        (reading.join().expect("reading goes well"), largest)
    });
    assert!(rounds > 1, "{rounds}");
    // The journal begins anew at 2,000 pages; a page that was just being read puts that off a bit.
    let written = len(&site.log());
    assert!(written > 5 << 20, "{written} bytes are enough to tell");
    assert!(largest < 4 << 20, "the journal grew to {largest} bytes");
    assert!(success(&log(&site, &["verify"])).starts_with("sound: "));
    daemon.stop();
}

#[test]
fn a_log_in_a_closed_folder_is_read_if_that_gives_all_of_it_and_refused_if_not() {
    let site = Site::new();
    stored(&site, 2);
    let folder = site.log().parent().expect("a folder").to_owned();
    let path = site.log().display().to_string();
    let show = ["log", "show", "--format", "json", "--log", &path];
    let close = |modes: &[(&str, u32)]| {
        modes.iter().for_each(|(name, mode)| permit(&site.path(name), *mode));
        permit(&folder, 0o555);
    };
    close(&[("log.db", 0o444), ("log.db.lock", 0o444)]);
    let output = as_nobody(&show);
    assert_eq!(numbers(success(&output)).len(), 20);
    assert!(success(&as_nobody(&["log", "verify", "--log", &path])).starts_with("sound: "));

    // As a kill leaves it: the last commits stand in the journal alone.
    permit(&folder, 0o755);
    permit(&site.log(), 0o600);
    permit(&site.path("log.db.lock"), 0o600);
    let mut line = site.plug("text2");
    let daemon = site.start(&json_port(&line));
    line.send(json_lines(0..5));
    daemon.stored(25);
    daemon.kill();
    close(&[
        ("log.db", 0o444),
        ("log.db.lock", 0o444),
        ("log.db-wal", 0o444),
        ("log.db-shm", 0o444),
    ]);
    let output = as_nobody(&show);
    assert_eq!(numbers(success(&output)).len(), 25);
    permit(&site.path("log.db-wal"), 0);
    permit(&site.path("log.db-shm"), 0);
    let output = as_nobody(&show);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("run this as the user of the daemon"), "{output:?}");
    permit(&folder, 0o755);
}

#[test]
fn an_export_replaces_nothing_unasked_and_never_the_log() {
    let site = Site::new();
    stored(&site, 1);
    let to = site.path("out.jsonl").display().to_string();
    let output = log(&site, &["export", &to]);
    assert_eq!(success(&output), "");
    assert!(stderr(&output).contains("10 readings written"), "{output:?}");
    assert_eq!(numbers(&fs::read_to_string(&to).expect("a file")).len(), 10);
    let output = log(&site, &["export", &to]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("--force"), "{output:?}");
    success(&log(&site, &["export", "--force", "--format", "csv", &to]));
    assert!(fs::read_to_string(&to).expect("a file").starts_with("seq,time,"));
    let own = site.log().display().to_string();
    let before = fs::read(&own).expect("the log");
    let output = log(&site, &["export", "--force", &own]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("part of the log itself"), "{output:?}");
    assert!(fs::read(&own).expect("the log") == before, "the log was touched");
}

#[test]
fn a_log_that_is_none_is_said_to_be_none() {
    let site = Site::new();
    let nowhere = site.path("nowhere.db").display().to_string();
    for command in ["stat", "show", "verify"] {
        let output = outstation(&["log", command, "--log", &nowhere]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("there is no log at"), "{output:?}");
    }
    assert!(!site.path("nowhere.db").exists());
    let text = site
        .write("text.db", "this is no database, but it is long enough to be read as one")
        .display()
        .to_string();
    let output = outstation(&["log", "show", "--log", &text]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("outstation log salvage"), "{output:?}");
}

#[test]
fn a_salvage_changes_nothing_and_leaves_a_log_in_use_alone() {
    let site = Site::new();
    let (_line, daemon) = storing(&site, 2);
    let path = site.log().display().to_string();
    let output = outstation(&["log", "salvage", &path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("in use by another outstation"), "{output:?}");
    daemon.kill();
    let files = ["log.db", "log.db-wal"];
    let read = || files.map(|name| fs::read(site.path(name)).ok());
    let before = read();
    let folder = site.path("").display().to_string();
    let output = outstation(&["log", "salvage", &path, "--output", &folder]);
    assert_eq!(success(&output), "");
    assert!(stderr(&output).contains("the log was not touched"), "{output:?}");
    assert!(site.path("log.db.jsonl").exists());
    assert!(read() == before, "the log was touched");
}

#[test]
fn a_salvage_finds_every_reading_of_a_log_without_its_head() {
    let site = Site::new();
    stored(&site, 20);
    let mut bytes = fs::read(site.log()).expect("the log");
    bytes[..512].fill(0);
    fs::write(site.log(), bytes).expect("damaged");
    let path = site.log().display().to_string();
    let output = outstation(&["log", "salvage", &path, "--device", "d"]);
    assert_eq!(numbers(success(&output)), (1..=200).collect::<Vec<_>>());
    assert!(stderr(&output).contains("200 readings in "), "{output:?}");
}
