//! The end of the process, asked for or not, and what the next one finds.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::Signal;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::line::Line;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Act, Upstream};
use crate::kit::wait::{assert_in_time, eventually};

#[test]
fn what_was_committed_before_a_kill_in_an_outage_arrives_once() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&collector.address, "");
    let daemon = site.start(&config);
    line.send(json_lines(0..100));
    let epoch = daemon.delivered(100)["log"]["epoch"].clone();
    let address = collector.away();
    line.send(json_lines(100..400));
    daemon.breaker("open");
    assert_eq!(daemon.stored(400)["log"]["head"], 400);
    daemon.kill();
    line = replugged(&site, line);

    // Once more, so that what the second life found is found by the third.
    let daemon = site.start(&config);
    line.send(json_lines(400..500));
    assert_eq!(daemon.stored(500)["log"]["head"], 500);
    daemon.kill();
    line = replugged(&site, line);

    let collector = Collector::start_at(&site, &address);
    let daemon = site.start(&config);
    line.send(json_lines(500..600));
    let status = daemon.delivered(600);
    assert_eq!(status["log"]["epoch"], epoch);
    collector.holds(600);
    assert_eq!(collector.values("text"), json_values(0..600));
    daemon.stop();
}

/// A pty, unlike a serial port, stays locked by a holder that was killed.
fn replugged(site: &Site, line: Line) -> Line {
    drop(line);
    site.plug("text")
}

#[test]
fn a_kill_while_readings_pour_in_costs_none_that_was_committed() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&collector.address, "");
    let daemon = site.start(&config);
    let (_, head) = line.speak(Duration::ZERO, json_lines, || {
        let head = |status: &serde_json::Value| status["log"]["head"].as_u64() > Some(2000);
        let status = eventually("2000 are committed", || daemon.status(), head);
        daemon.kill();
        status["log"]["head"].as_u64().expect("a head")
    });
    drop(line);

    let daemon = site.start(&sink(&collector.address, ""));
    let settled = |status: &serde_json::Value| {
        status["ledger"]["pending"] == 0 && status["ledger"]["balanced"] == true
    };
    let status = eventually("nothing is pending", || daemon.status(), settled);
    let stored = status["ledger"]["stored"].as_u64().expect("a count");
    assert!(stored >= head, "{head} were committed, {stored} are left");
    collector.holds(stored);
    assert_eq!(collector.values("text"), json_values(0..stored));
    daemon.stop();
}

#[test]
fn a_stop_under_load_is_in_time_and_loses_nothing_that_was_accepted() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let mut daemon = site.start(&(json_port(&line) + &sink(&collector.address, "")));
    line.speak(Duration::ZERO, json_lines, || {
        let loaded = |status: &serde_json::Value| status["ledger"]["stored"].as_u64() > Some(2000);
        eventually("2000 are stored", || daemon.status(), loaded);
        let asked = Instant::now();
        daemon.signal(Signal::TERM);
        let ended = daemon.end();
        assert_eq!(ended.code(), Some(0), "{}", daemon.said());
        assert_in_time(asked, Duration::from_secs(5));
    });
    assert!(!daemon.said().contains("ERROR"), "{}", daemon.said());
    drop(line);

    let daemon = site.start(&sink(&collector.address, ""));
    let settled = |status: &serde_json::Value| status["ledger"]["pending"] == 0;
    let status = eventually("nothing is pending", || daemon.status(), settled);
    let accepted = status["ledger"]["accepted"].as_u64().expect("a count");
    daemon.delivered(accepted);
    collector.holds(accepted);
    assert_eq!(collector.values("text"), json_values(0..accepted));
    daemon.stop();
}

#[test]
fn a_request_that_hangs_does_not_hold_up_the_end() {
    let site = Site::new();
    let upstream = Upstream::start([Act::Hang]);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&upstream.address, "").replace("500ms", "60s");
    let mut daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.stored(10);
    upstream.asked(1);
    let asked = Instant::now();
    daemon.signal(Signal::INT);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.said());
    assert_in_time(asked, Duration::from_secs(3));
    let collector = Collector::start(&site);
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, "")));
    daemon.delivered(10);
    collector.holds(10);
    daemon.stop();
}

/// A daemon that accepted twenty readings, and another program that holds the log for writing, so
/// that the last ten cannot be stored.
fn stuck(site: &Site, line: &mut Line, deadline: &str) -> (Daemon, Connection) {
    let config = format!("[supervisor]\nshutdown_deadline = \"{deadline}\"\n");
    let daemon = site.start(&(config + &json_port(line)));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let other = Connection::open(site.log()).expect("open the log");
    other.execute_batch("BEGIN IMMEDIATE").expect("hold the log");
    line.send(json_lines(10..20));
    let accepted = |port: &serde_json::Value| port["accepted"] == 20;
    eventually("ten more are accepted", || daemon.port("text"), accepted);
    daemon.signal(Signal::TERM);
    daemon.notified("STOPPING=1");
    (daemon, other)
}

#[test]
fn a_second_signal_ends_a_drain_that_is_stuck() {
    let site = Site::new();
    let mut line = site.plug("text");
    let (mut daemon, held) = stuck(&site, &mut line, "60s");
    let asked = Instant::now();
    daemon.signal(Signal::TERM);
    let ended = daemon.end();
    assert_eq!(ended.code(), Some(1), "{}", daemon.said());
    assert_in_time(asked, Duration::from_secs(3));
    assert!(daemon.said().contains("stopped at once by a second signal"), "{}", daemon.said());
    drop(held);
}

#[test]
fn a_stop_that_cannot_store_everything_does_not_pretend_it_did() {
    let site = Site::new();
    let mut line = site.plug("text");
    let (mut daemon, held) = stuck(&site, &mut line, "7s");
    assert_eq!(daemon.end().code(), Some(1), "ten readings are not stored:\n{}", daemon.said());
    let said = daemon.said();
    assert!(said.contains("log cannot be written"), "{said}");
    assert!(said.contains("count=10"), "it is said how many: {said}");
    assert!(said.contains("shutdown did not finish within 7s; still running: log"), "{said}");
    drop(held);
    let daemon = site.start(&json_port(&line));
    daemon.stored(20);
    daemon.stop();
}

#[test]
fn a_stop_waits_for_storage_that_comes_round_within_the_deadline() {
    let site = Site::new();
    let mut line = site.plug("text");
    let (mut daemon, held) = stuck(&site, &mut line, "60s");
    let failed = |said: &String| said.contains("log cannot be written");
    eventually("a commit has failed", || daemon.said(), failed);
    drop(held);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.said());
    let daemon = site.start(&json_port(&line));
    daemon.stored(20);
    daemon.stop();
}

#[test]
fn a_second_daemon_on_the_same_log_is_refused_and_the_first_does_not_notice() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&collector.address, "");
    let daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.delivered(10);
    let mut second = site.spawn(&sink(&collector.address, ""));
    assert_eq!(second.end().code(), Some(1));
    let said = second.said();
    assert!(said.contains("is in use by another outstation; stop that one or"), "{said}");
    line.send(json_lines(10..20));
    daemon.delivered(20);
    collector.holds(20);
    daemon.stop();
}
