//! An alarm does not wait for the next commit, nor behind a backlog, and is counted once like any other
//! reading.

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::wait::eventually;

const ABOVE_24: &str = "[[alarm]]\nport = \"text\"\nchannel = \"n\"\nabove = 24\n";

/// Waits until the port has handed over so many readings, committed or not.
fn accepted(daemon: &Daemon, count: u64) {
    let there = |port: &serde_json::Value| port["accepted"] == count;
    eventually("they are read", || daemon.port("text"), there);
}

#[test]
fn an_alarm_is_stored_and_delivered_at_once_however_rarely_the_log_commits() {
    let site = Site::committing("1h");
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + ABOVE_24 + &sink(&collector.address, "");
    let daemon = site.start(&config);
    line.send(json_lines(0..20));
    accepted(&daemon, 20);
    // The last of these rises above the threshold, and takes with it what was read before.
    line.send(json_lines(20..26));
    daemon.delivered(26);
    assert_eq!(collector.holds(26), 0);
    assert_eq!(collector.values("text"), json_values(0..26), "in the order they were read");
    // It stays above: no alarm any more.
    line.send(json_lines(26..30));
    accepted(&daemon, 30);
    assert_eq!(collector.stats()["unique"], 26);
    daemon.kill();
    let site = site.recommitting("20ms");
    let daemon = site.start(&config);
    eventually("all is delivered", || daemon.status(), |s| s["ledger"]["delivered"] == 30);
    collector.holds(30);
    assert_eq!(collector.values("text"), json_values(0..30));
    daemon.stop();
}

#[test]
fn a_port_whose_readings_may_wait_is_overtaken_by_another_and_both_arrive() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let (mut line, mut history) = (site.plug("text"), site.plug("history"));
    let logger = json_port(&history).replace("\"text\"", "\"history\"") + "lane = \"backfill\"\n";
    let away = collector.away();
    let config = json_port(&line) + &logger + &sink(&away, "batch_readings = 10");
    let daemon = site.start(&config);
    history.send(json_lines(0..500));
    daemon.stored(500);
    line.send(json_lines(0..20));
    daemon.stored(520);
    let sink = daemon.sink();
    assert_eq!(
        (&sink["pending_lanes"]["live"], &sink["pending_lanes"]["backfill"]),
        (&true.into(), &true.into())
    );
    let collector = Collector::start_at(&site, &away);
    daemon.delivered(520);
    collector.holds(520);
    assert_eq!(collector.values("text"), json_values(0..20));
    assert_eq!(collector.values("history"), json_values(0..500));
    daemon.stop();
}
