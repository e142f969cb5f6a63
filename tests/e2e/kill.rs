//! The end of the process at any instant, and not one reading less.
//!
//! Invariants checked: what the daemon had read when it was killed arrives, once. What is missing
//! was still in the kernel: it is the end of what was sent in that life and nothing else, and after
//! a pause in which the daemon read everything it is nothing at all.
//!
//! Every life is preceded by one that is killed while it starts. `OUTSTATION_TEST_DEEP=1` kills more
//! often.

use std::ops::Range;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::kit::chance::{is_deep, rng};
use crate::kit::collector::Collector;
use crate::kit::line::Line;
use crate::kit::readings::{hello, json_lines, json_values, sample_values, samples};
use crate::kit::site::{Site, json_port, postcard_port, sink};
use crate::kit::wait::eventually;

fn rounds() -> u64 {
    if is_deep() { 20 } else { 3 }
}

/// Between ten lines and the next: a thousand a second.
const THOUSAND: Duration = Duration::from_millis(10);
const FLAT_OUT: Duration = Duration::ZERO;

/// The numbers that arrived, in order.
fn numbers(collector: &Collector) -> Vec<u64> {
    let values = collector.values("text");
    values.iter().map(|value| value["n"].as_u64().expect("a number")).collect()
}

#[expect(clippy::print_stdout, reason = "shown when a test fails, or with --nocapture")]
fn note(text: &str) {
    println!("{text}");
}

/// One life of the daemon and how it ended.
#[derive(Debug)]
struct Life {
    first: u64,
    sent: u64,
    /// Known to have been accepted.
    accepted: u64,
    /// Whether the daemon had read all of it.
    drained: bool,
}

/// Kills the daemon again and again, each time while its sensor speaks or just after it fell
/// silent, and says what was sent.
fn lives(site: &Site, pause: Duration, config: impl Fn(&Line) -> String) -> Vec<Life> {
    let (mut rng, mut next) = (rng(), 0);
    let mut life = |round: u64| {
        // One that is killed while it starts, and may just be taking up what the last one left.
        let line = site.plug("text");
        let stillborn = site.spawn(&config(&line));
        std::thread::sleep(Duration::from_micros(rng.u64(0..20_000)));
        stillborn.kill();
        // A pty, unlike a serial port, stays locked by a holder that was killed.
        drop(line);
        let mut line = site.plug("text");
        let daemon = site.start(&config(&line));
        let first = next;
        let drained = round % 2 == 1;
        let wait = Duration::from_millis(rng.u64(0..1500));
        let lines = |ten: Range<u64>| json_lines(first + ten.start..first + ten.end);
        let (sent, seen) = if drained {
            let (sent, ()) = line.speak(pause, lines, || std::thread::sleep(wait));
            let all = |count: &u64| *count == sent;
            (sent, eventually("all was read", || daemon.heard("text"), all))
        } else {
            line.speak(pause, lines, || {
                std::thread::sleep(wait);
                let seen = daemon.heard("text");
                std::thread::sleep(Duration::from_micros(rng.u64(0..200_000)));
                daemon.signal(rustix::process::Signal::KILL);
                seen
            })
        };
        daemon.kill();
        next += sent;
        Life { first, sent, accepted: seen, drained }
    };
    (0..rounds()).map(&mut life).collect()
}

/// Checks that what arrived is what every life had read.
fn check(lives: &[Life], arrived: &[u64]) {
    let (mut rest, mut lost) = (arrived, 0);
    for life in lives {
        let own = rest.partition_point(|number| *number < life.first + life.sent);
        let (here, later) = rest.split_at(own);
        rest = later;
        let count = here.len() as u64;
        let expected: Vec<u64> = (life.first..life.first + count).collect();
        assert_eq!(here, expected, "{life:?}: in order, each once, none missing before another");
        assert!(count >= life.accepted, "{life:?}: {count} arrived");
        assert!(!life.drained || count == life.sent, "{life:?}: {count} arrived");
        lost += life.sent - count;
    }
    assert!(rest.is_empty(), "{rest:?} were never sent");
    let (kills, arrived) = (2 * lives.len(), arrived.len());
    note(&format!("{kills} kills, {arrived} arrived, {lost} were still in the kernel"));
}

/// The daemon after all kills, and what has arrived when one more line has.
fn settled(site: &Site, collector: &Collector, config: impl Fn(&Line) -> String) -> Vec<u64> {
    let mut line = site.plug("text");
    let daemon = site.start(&config(&line));
    let last = 1 << 40;
    line.send(json_lines(last..last + 1));
    let arrived = |unique: &u64| numbers(collector).len() as u64 == *unique;
    let all = || collector.stats()["unique"].as_u64().expect("a count");
    let behind = || numbers(collector).last().copied().unwrap_or(0);
    eventually("one more line has arrived", behind, |number| *number == last);
    collector.holds(eventually("it is all there", all, arrived));
    eventually(
        "it is acknowledged",
        || daemon.status()["ledger"].clone(),
        |ledger| ledger["balanced"] == true && ledger["delivered"] == ledger["accepted"],
    );
    daemon.stop();
    assert_eq!(site.tails(), Vec::<String>::new(), "a clean stop leaves no tail");
    let mut numbers = numbers(collector);
    numbers.pop();
    numbers
}

#[test]
fn no_kill_costs_a_reading_at_a_thousand_a_second() {
    let site = Site::committing("1s");
    let collector = Collector::start(&site);
    let config = |line: &Line| json_port(line) + &sink(&collector.address, "");
    let lives = lives(&site, THOUSAND, config);
    check(&lives, &settled(&site, &collector, config));
}

#[test]
fn no_kill_costs_a_reading_flat_out() {
    let site = Site::committing("1s");
    let collector = Collector::start(&site);
    let config = |line: &Line| json_port(line) + &sink(&collector.address, "");
    let lives = lives(&site, FLAT_OUT, config);
    check(&lives, &settled(&site, &collector, config));
}

#[test]
fn no_kill_costs_a_reading_while_the_sink_is_down() {
    let site = Site::committing("1s");
    let address = Collector::start(&site).away();
    let config = |line: &Line| json_port(line) + &sink(&address, "");
    let lives = lives(&site, THOUSAND, config);
    let collector = Collector::start_at(&site, &address);
    check(&lives, &settled(&site, &collector, config));
}

#[test]
fn frames_are_understood_after_a_kill_by_what_their_sensor_said_before_it() {
    let site = Site::committing("1h");
    let collector = Collector::start(&site);
    let config = |line: &Line| postcard_port(line) + &sink(&collector.address, "");
    for life in 0..3 {
        let mut mcu = site.plug("mcu");
        let daemon = site.start(&config(&mcu));
        let read = |port: &Value| port["accepted"].as_u64() >= Some(100 * (u64::from(life) + 1));
        mcu.send([hello(), samples(100 * life..100 * (life + 1))].concat());
        eventually("all was read", || daemon.port("mcu"), read);
        assert_eq!(daemon.status()["log"]["head"], 0, "and nothing is committed");
        daemon.kill();
    }
    let site = site.recommitting("20ms");
    let mcu = site.plug("mcu");
    let daemon = site.start(&config(&mcu));
    daemon.delivered(300);
    assert!(daemon.said().contains("recovered readings"), "{}", daemon.said());
    assert_eq!(daemon.port("mcu")["faults"], serde_json::json!({}));
    assert_eq!(collector.holds(300), 0);
    assert_eq!(collector.values("mcu"), sample_values(0..300));
    daemon.stop();
}

#[test]
fn a_log_that_crashes_ends_the_daemon_and_the_next_one_misses_nothing() {
    let site = Site::committing("200ms");
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&collector.address, "");
    let mut daemon = site.start(&config);
    line.send(json_lines(0..100));
    daemon.delivered(100);
    // A second writer has taken the versions to come: the one thing that must never happen.
    let move_ledger = |by: i32| {
        let other = Connection::open(site.log()).expect("open the log");
        let update = "UPDATE snapshots SET version = version + ?1 WHERE stream = 'ledger'";
        assert_eq!(other.execute(update, [by]).expect("written"), 1);
    };
    move_ledger(1000);
    line.send(json_lines(100..200));
    assert_eq!(daemon.end().code(), Some(1), "{}", daemon.said());
    let said = daemon.said();
    assert!(
        said.contains("actor crashed and is given up") && said.contains("actor=\"log\""),
        "{said}"
    );
    assert_eq!(said.matches("actor crashed").count(), 1, "nobody else: {said}");

    move_ledger(-1000);
    let daemon = site.start(&config);
    daemon.delivered(200);
    collector.holds(200);
    assert_eq!(collector.values("text"), json_values(0..200));
    daemon.stop();
}

#[test]
fn a_tail_that_cannot_be_kept_is_said_once_and_costs_nothing_else() {
    let site = Site::committing("20ms");
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    site.without_tails();
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, "")));
    for part in 0..5 {
        line.send(json_lines(part * 20..part * 20 + 20));
        daemon.delivered(part * 20 + 20);
    }
    let said = daemon.said();
    assert_eq!(said.matches("crash tail cannot be kept").count(), 1, "{said}");
    let metrics = crate::kit::http::get(&daemon.address, "/metrics").1;
    let bytes = json_lines(0..100).len();
    let counted = format!("outstation_port_unrecorded_bytes_total{{port=\"text\"}} {bytes}");
    assert!(metrics.contains(&counted), "{metrics}");
    daemon.stop();
}
