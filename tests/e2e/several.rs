//! Several sinks: which of them a reading waits for.

use crate::kit::collector::Collector;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, sink};
use crate::kit::wait::eventually;

/// Ten readings that one sink has and another, at an address where nobody is, has not.
fn had_by_one_of_two(rest: &str) -> (Site, crate::kit::daemon::Daemon) {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let away = sink("127.0.0.1:9", rest).replace("\"cloud\"", "\"away\"");
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, "") + &away));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let has_all = |status: &serde_json::Value| {
        status["sinks"][0]["name"] == "cloud" && status["sinks"][0]["pending"] == 0
    };
    eventually("one of them has all", || daemon.status(), has_all);
    collector.holds(10);
    (site, daemon)
}

#[test]
fn readings_wait_for_a_sink_that_is_away() {
    let (_site, daemon) = had_by_one_of_two("");
    let status = daemon.status();
    assert_eq!(status["sinks"][1]["pending"], 10, "{status}");
    let ledger = &status["ledger"];
    assert_eq!((&ledger["delivered"], &ledger["pending"]), (&0.into(), &10.into()), "{ledger}");
    daemon.stop();
}

#[test]
fn readings_do_not_wait_for_a_best_effort_sink() {
    let (_site, daemon) = had_by_one_of_two("best_effort = true");
    daemon.delivered(10);
    daemon.stop();
}
