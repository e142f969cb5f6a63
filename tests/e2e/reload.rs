//! SIGHUP: another configuration for the daemon that is running, or the same one and the reason why.

use std::path::Path;

use rustix::process::Signal;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::process::port_of;
use crate::kit::program::outstation;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, port, sink};
use crate::kit::wait::eventually;

/// The targets of what it has open, by file descriptor.
fn open_at(daemon: &Daemon, path: &Path) -> Vec<String> {
    let device = std::fs::read_link(path).expect("a link to a pseudo-terminal");
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("list open files");
    let entries = files.map(|file| file.expect("an entry").path());
    let ours = entries.filter(|file| std::fs::read_link(file).is_ok_and(|target| target == device));
    ours.map(|file| file.display().to_string()).collect()
}

/// A second port like the one of `json_port`.
fn second(path: &Path) -> String {
    port("second", path, "framing = \"lines\"\nformat = \"json\"")
}

#[test]
fn a_port_comes_and_goes_and_its_neighbour_keeps_its_line_and_loses_no_byte() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let (mut line, mut other) = (site.plug("text"), site.plug("second"));
    let (one, cloud) = (json_port(&line), sink(&collector.address, ""));
    let daemon = site.start(&(one.clone() + &cloud));
    line.send(json_lines(0..100));
    let before = open_at(&daemon, line.path());
    assert_eq!(before.len(), 1);

    site.reload(&daemon, &(one.clone() + &second(other.path()) + &cloud));
    eventually("the new port is open", || daemon.port("second"), |port| port["state"] == "open");
    other.send(json_lines(0..50));
    line.send(json_lines(100..200));
    daemon.delivered(250);

    // The half line of the one that stays is whole after the other has gone.
    let (halved, rest) = (json_lines(200..201), json_lines(201..300));
    let (half, other_half) = halved.split_at(5);
    line.send(half);
    site.reload(&daemon, &(one.clone() + &cloud));
    assert_eq!(daemon.status()["ports"].as_array().map(Vec::len), Some(1));
    line.send(other_half.to_owned() + &rest);
    daemon.delivered(350);
    assert_eq!(open_at(&daemon, line.path()), before, "the port was never closed");
    assert_eq!(collector.values("text"), json_values(0..300));

    // It goes on in the books where it stood.
    site.reload(&daemon, &(one + &second(other.path()) + &cloud));
    eventually("it is open again", || daemon.port("second"), |port| port["state"] == "open");
    other.send(json_lines(50..60));
    daemon.delivered(360);
    assert_eq!(collector.values("second"), json_values(0..60));
    assert!(!daemon.said().contains("ERROR"), "{}", daemon.said());
    daemon.stop();
    assert_eq!(site.tails(), Vec::<String>::new(), "nothing is pending");
}

#[test]
fn an_invalid_file_changes_nothing_and_says_every_mistake() {
    let site = Site::new();
    let line = site.plug("text");
    let good = json_port(&line) + &sink("127.0.0.1:9", "");
    let daemon = site.start(&good);
    let before = (open_at(&daemon, line.path()), daemon.sink()["name"].clone());

    site.reload(&daemon, &good.replace("name", "nmae").replace("timeout", "tmieout"));
    let said = daemon.said();
    for part in ["configuration not reloaded", "a person is needed", "nmae", "tmieout"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("ERROR").count(), 1, "{said}");
    let secret = "token_file = \"/nowhere/token\"";
    site.reload(&daemon, &(json_port(&line) + &sink("127.0.0.1:9", secret)));
    assert!(daemon.said().contains("/nowhere/token"), "{}", daemon.said());
    std::fs::remove_file(site.path("outstation.toml")).expect("remove the file");
    daemon.signal(Signal::HUP);
    daemon.notified("READY=1");
    assert!(daemon.said().contains("failed to read configuration"), "{}", daemon.said());

    assert_eq!((open_at(&daemon, line.path()), daemon.sink()["name"].clone()), before);
    let shown = || outstation(&["status", "--url", &daemon.address]).stdout;
    let shown = || String::from_utf8(shown()).expect("text").contains("RELOAD REFUSED");
    assert!(shown());
    site.reload(&daemon, &good);
    assert!(!shown());
    assert!(daemon.said().contains("configuration reloaded"), "{}", daemon.said());
    daemon.stop();
}

#[test]
fn what_is_read_at_start_only_is_refused_as_a_whole() {
    let site = Site::new();
    let line = site.plug("text");
    let daemon = site.start(&json_port(&line));
    let moved = Site::with_log("elsewhere.db");
    let text = std::fs::read_to_string(moved.configure("")).expect("a file");
    site.write("outstation.toml", &text);
    daemon.signal(Signal::HUP);
    daemon.notified("READY=1");
    let said = daemon.said();
    assert!(said.contains("log.path changed; restart to apply"), "{said}");
    assert_eq!(daemon.port("text")["state"], "open");
    daemon.stop();
}

#[test]
fn a_sink_is_changed_under_load_and_every_reading_arrives_once() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let with = |rest: &str| json_port(&line) + &sink(&collector.address, rest);
    let (plain, small) = (with(""), with("batch_readings = 7"));
    let daemon = site.start(&plain);
    let mut sent = 0;
    for config in [&small, &plain, &small, &plain] {
        line.send(json_lines(sent..sent + 300));
        sent += 300;
        site.configure(config);
        // Twice in a row: the second may find the first under way.
        daemon.signal(Signal::HUP);
        daemon.signal(Signal::HUP);
    }
    line.send(json_lines(sent..sent + 300));
    daemon.delivered(sent + 300);
    assert_eq!(collector.values("text"), json_values(0..sent + 300));
    daemon.stop();
}

#[test]
fn a_removed_sink_is_not_waited_for_and_one_that_comes_gets_what_is_there() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let away = sink("127.0.0.1:9", "").replace("\"cloud\"", "\"away\"");
    let daemon = site.start(&(json_port(&line) + &away));
    line.send(json_lines(0..100));
    daemon.stored(100);
    assert!(page(&daemon).contains("sink=\"away\""), "{}", page(&daemon));

    site.reload(&daemon, &(json_port(&line) + &sink(&collector.address, "")));
    let status = daemon.delivered(100);
    assert_eq!(status["sinks"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(collector.values("text"), json_values(0..100));
    assert!(!page(&daemon).contains("sink=\"away\""), "{}", page(&daemon));
    daemon.stop();
}

/// The metrics, from wherever it listens.
fn page(daemon: &Daemon) -> String {
    let number = port_of(daemon.pid()).expect("it listens");
    get(&format!("127.0.0.1:{number}"), "/metrics").1
}

/// How often the sink's breaker opened.
fn opened(page: &str) -> u64 {
    let moves = page.lines().filter(|line| {
        line.starts_with("outstation_breaker_transitions_total{") && line.contains("to=\"open\"")
    });
    let counts = moves.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn another_local_port_goes_on_with_what_was_counted() {
    let site = Site::new();
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink("127.0.0.1:9", "");
    let daemon = site.start(&config);
    line.send(json_lines(0..1));
    let before = eventually("the breaker opens", || opened(&page(&daemon)), |count| *count > 0);
    site.reload(&daemon, &format!("connections_max = 20\n{config}"));
    assert!(opened(&page(&daemon)) >= before, "{}", page(&daemon));
    let now = || opened(&page(&daemon));
    eventually("it is counted on", now, |count| *count > before);
    daemon.stop();
}

#[test]
fn a_hangup_while_starting_or_stopping_harms_nothing() {
    let site = Site::new();
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink("127.0.0.1:9", "");
    let daemon = site.spawn(&config);
    // As early as it can be told that the handler is there.
    eventually("it handles the signal", || handles_hangup(daemon.pid()), |handles| *handles);
    daemon.signal(Signal::HUP);
    daemon.notified("READY=1");
    let daemon = daemon.listening();
    line.send(json_lines(0..10));
    daemon.stored(10);
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::HUP);
    let mut daemon = daemon;
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.said());
}

/// Whether a process catches SIGHUP, signal 1.
fn handles_hangup(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn the_local_port_moves_and_the_log_is_told_of_the_generation() {
    let site = Site::new();
    let line = site.plug("text");
    let mut daemon = site.start(&json_port(&line));
    let before = daemon.address.clone();
    let text = std::fs::read_to_string(site.path("outstation.toml")).expect("a file");
    site.write("outstation.toml", &text.replace("[http]\n", "[http]\nconnections_max = 3\n"));
    daemon.signal(Signal::HUP);
    daemon.notified("RELOADING=1");
    daemon.notified("READY=1");
    daemon = daemon.listening();
    assert_ne!(daemon.address, before, "port 0 is another one each time");
    assert_eq!(daemon.port("text")["state"], "open");
    let log = site.log().display().to_string();
    let applied = || {
        let shown = crate::kit::program::outstation(&["log", "show", "--events", "--log", &log]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    eventually("both generations are in the log", applied, |text| {
        text.matches("config_applied").count() == 2
    });
    daemon.stop();
}
