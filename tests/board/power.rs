//! The process is killed, the power is cut.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::collector::Collector;
use crate::kit::site::Site;
use crate::machine::arrived::{arrives, numbers};
use crate::machine::board::{Board, reading};
use crate::machine::disk::Disk;
use crate::machine::writes::{Writes, take_log};

/// How many instants of a power cut are tried.
const CUTS: usize = 12;

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_killed_daemon_comes_back_and_loses_nothing_it_had_accepted() {
    let (_site, collector, board, mut sensor) = reading();
    let mut said = Vec::new();
    for kill in 1..=5 {
        said.push(sensor.say(100));
        // As soon as they were taken, stored or not. What was recovered is of the lives before.
        let count = |port: &Value, key: &str| port[key].as_u64().unwrap_or(0);
        board.sees("they are accepted", |status| {
            let port = &status["ports"][0];
            count(port, "accepted") == count(port, "recovered") + 100
        });
        board.run("systemctl kill -s KILL outstation");
        let restarts = format!("test $(systemctl show -p NRestarts --value outstation) = {kill}");
        board.waits_until(&restarts);
        board.reads();
    }
    arrives(&collector, &said);
}

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_power_cut_costs_at_most_the_declared_interval() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let address = collector.away();
    let collector = Collector::start_at(&site, &address);
    let board = Board::boot(Disk::installed());
    board.start(&collector, "");
    let address = collector.away();
    let mut sensor = board.sensor();
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    for _ in 0..40 {
        sensor.say(25);
        thread::sleep(Duration::from_millis(100));
        let status = board.status().expect("it answers");
        seen.push((Instant::now(), status["ledger"]["accepted"].as_u64().expect("a count")));
    }
    let cut = Instant::now();
    let disk = board.power_cut();
    // The interval, the tenth of a second in which a port gathers, and the commit itself.
    let declared = Duration::from_millis(1_100) + Duration::from_secs(1);
    let safe = seen.iter().rfind(|(at, _)| cut - *at >= declared).expect("it ran longer").1;
    assert!(safe > 0, "{seen:?}");

    let collector = Collector::start_at(&site, &address);
    let board = Board::boot(disk);
    board.reads();
    let status = board.sees("everything stored was delivered", |status| {
        status["ledger"]["pending"] == 0 && status["sinks"][0]["breaker"] == "closed"
    });
    let had = numbers(&collector);
    assert!(had.iter().copied().eq(0..had.len() as u64), "no gap before the cut");
    assert!(had.len() as u64 >= safe, "{} of {safe}: {status}", had.len());
    assert_eq!(status["ledger"]["stored"], had.len());
    assert_eq!(status["ledger"]["balanced"], true);
    // The books name each boot: when the package was installed, before the cut, after it.
    let events = board.run("outstation log show --events");
    assert_eq!(events.matches("boot_started").count(), 3, "{events}");
}

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn the_log_opens_as_any_write_to_the_disk_leaves_it() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let disk = Disk::installed();
    let before = disk.duplicate();
    let record = disk.beside("writes").display().to_string();
    std::fs::File::create(&record).expect("make a file for the record");
    let file = |node: &str, path: &str| format!("driver=file,node-name={node},filename={path}");
    let words = [
        "-blockdev".to_owned(),
        file("card", &disk.path().display().to_string()),
        "-blockdev".to_owned(),
        file("record", &record),
        "-blockdev".to_owned(),
        "driver=blklogwrites,node-name=root,file=card,log=record".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let board = Board::boot_from(disk, &words, &[]);
    board.start(&collector, "");
    drop(collector);
    let mut sensor = board.sensor();
    let mut promised: Vec<(u64, u64)> = Vec::new();
    for _ in 0..40 {
        sensor.say(50);
        thread::sleep(Duration::from_millis(250));
        let status = board.status().expect("it answers");
        let stored = status["ledger"]["stored"].as_u64().expect("a count");
        // What was said to be stored had been written by then.
        let length = std::fs::metadata(&record).expect("the record").len();
        promised.push((length, stored));
    }
    let disk = board.power_cut();
    let writes = Writes::read(std::path::Path::new(&record));
    let first = promised.iter().position(|(_, stored)| *stored > 0).expect("some were stored");
    let samples = &promised[first..];
    for sample in (0..CUTS).map(|n| samples[n * samples.len() / CUTS]) {
        let (at, stored) = sample;
        let after_cut = before.duplicate();
        writes.cut(at, &after_cut.path());
        let site = Site::new();
        take_log(&after_cut.path(), site.log().parent().expect("a folder"));
        let daemon = site.start("");
        let status = daemon.status();
        let ledger = &status["ledger"];
        assert!(ledger["stored"].as_u64() >= Some(stored), "{stored} at {at}: {status}");
        assert_eq!((&ledger["balanced"], &ledger["lost"]["damaged"]), (&true.into(), &0.into()));
        assert_eq!(status["log"]["aside_bytes"], 0, "nothing was set aside");
        daemon.stop();
    }
    drop(disk);
}
