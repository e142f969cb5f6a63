//! What the daemon costs while nothing happens: how often it wakes.

use std::io::Write;
use std::time::Duration;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, port, sink};

/// To wait by the clock is inherent here: a rate is a count over a time.
const WINDOW: Duration = Duration::from_secs(30);

/// How often all threads together have gone to sleep of themselves.
fn sleeps(daemon: &Daemon) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("list threads");
    let count = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
    };
    let status = tasks.map(|task| task.expect("an entry").path().join("status"));
    status.map(|status| count(&std::fs::read_to_string(status).expect("read a status"))).sum()
}

#[test]
fn with_quiet_ports_it_wakes_at_most_twice_a_second() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let absent = port("absent", &site.path("absent"), "framing = \"postcard\"");
    let daemon = site.start(&(json_port(&line) + &absent + &sink(&collector.address, "")));
    line.send(json_lines(0..10));
    daemon.delivered(10);
    let before = sleeps(&daemon);
    std::thread::sleep(WINDOW);
    let woken = sleeps(&daemon) - before;
    drop(writeln!(std::io::stderr().lock(), "{woken} wake-ups in {WINDOW:?}"));
    assert!(woken <= 2 * WINDOW.as_secs(), "{woken} wake-ups in {WINDOW:?}");
    daemon.stop();
}
