//! What the journal shows: fields, ids, priorities and advice; how little of it when the same thing
//! happens again and again; and what becomes of the daemon when nobody reads.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::journal::{AS_SYSTEMD, Journal, kind_named, number, occurrences};
use crate::kit::line::Line;
use crate::kit::need::{is_root, skip};
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, port, sink};
use crate::kit::upstream::{Upstream, answer};
use crate::kit::wait::eventually;

fn port_is(daemon: &Daemon, state: &str) {
    eventually(
        &format!("the port is {state}"),
        || daemon.port("text"),
        |port| port["state"] == state,
    );
}

#[test]
fn each_record_has_its_fields_its_id_and_advice() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let line = site.plug("text");
    let daemon = journal.run(&site, &(json_port(&line) + &sink("127.0.0.1:9", "")));
    let started = journal.said("STARTED", "DEVICE=site");
    assert_eq!(
        (&started["PRIORITY"], &started["VERSION"]),
        (&"6".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let opened = journal.said("PORT_OPENED", "PORT=text");
    assert_eq!(opened["PATH"], line.path().display().to_string());
    assert_eq!(opened["_COMM"], "outstation", "journald knows who speaks");
    let mut line = line;
    line.send("this is no JSON\n");
    line.send(json_lines(0..10));
    let faults = journal.said("PORT_FAULTS", "REASON=unparsable");
    assert_eq!((&faults["COUNT"], &faults["FAULTS"]), (&"1".into(), &"unparsable 1".into()));
    let open = journal.said("BREAKER_OPENED", "SINK=cloud");
    assert_eq!((&open["PRIORITY"], &open["REASON"]), (&"4".into(), &"link_down".into()));
    assert!(
        open["MESSAGE"].as_str().is_some_and(|said| said.contains("readings are kept")),
        "{open}"
    );
    drop(line);
    let absent = journal.said("PORT_ABSENT", "PORT=text");
    assert_eq!((&absent["PRIORITY"], &absent["REASON"]), (&"4".into(), &"lost".into()));
    daemon.stop();
    journal.said("STOPPED", "PRIORITY=6");
    let advice = journal.explained();
    for part in [
        "Subject: Port text is not open (lost)",
        "Data: What was read is safe.",
        "Subject: Sink cloud does not accept (link_down)",
        "Subject: outstation stopped",
    ] {
        assert!(advice.contains(part), "no `{part}` in:\n{advice}");
    }
    assert!(!advice.contains('@'), "every field is filled in:\n{advice}");
}

#[test]
fn a_configuration_that_is_wrong_is_an_error_with_advice() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let mut daemon = journal.spawn(&site, "nonsense = 1\n\"\\u0007\" = 2\n");
    assert_eq!(daemon.end().code(), Some(78));
    let failed = journal.said("FAILED", "PRIORITY=3");
    let message = failed["MESSAGE"].as_str().expect("text");
    assert!(message.contains("nonsense") && message.contains("u{7}"), "{failed}");
    assert!(message.lines().count() > 1, "a mistake per line: {failed}");
    assert!(journal.explained().contains("outstation check --config"));
}

#[test]
fn a_record_for_developers_says_where_it_comes_from() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let line = site.plug("text");
    let daemon = journal.spawn_saying(&site, "debug", &json_port(&line)).ready();
    daemon.stop();
    let records = journal.records("PRIORITY=7");
    assert!(!records.is_empty());
    for record in records.iter().chain(&journal.records("PRIORITY=6")) {
        let text = |name: &str| record[name].as_str().unwrap_or_else(|| panic!("{name}: {record}"));
        assert!(!text("TARGET").is_empty() && text("CODE_FILE").ends_with(".rs"), "{record}");
        assert!(number(record, "CODE_LINE") > 0, "{record}");
    }
}

#[test]
fn a_port_that_flaps_is_said_now_and_then_and_how_it_is_in_the_end() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let line = site.plug("text");
    let (config, path) = (json_port(&line), line.path().to_owned());
    let daemon = journal.run(&site, &config);
    drop(line);
    (0..1000).for_each(|_| drop(Line::plug(&path)));
    // The daemon looks at a port that is gone ever more rarely, so it is waited for.
    for _ in 0..5 {
        let line = Line::plug(&path);
        port_is(&daemon, "open");
        drop(line);
        eventually("the port is gone", || daemon.port("text"), |port| port["state"] != "open");
    }
    let _line = Line::plug(&path);
    port_is(&daemon, "open");
    assert!(journal.records("PORT=text").len() <= 6, "a handful at once");
    daemon.stop();
    let records = journal.records("PORT=text");
    assert_eq!(records.len(), 7, "{records:?}");
    assert!(occurrences(&records) >= 12, "each is counted: {records:?}");
    let last = records.last().expect("one at least");
    assert_eq!(last["MESSAGE_ID"], kind_named("PORT_OPENED").message_id, "as it is in the end");
    assert_eq!(records[0]["MESSAGE_ID"], kind_named("PORT_OPENED").message_id);
    assert_eq!(records[1]["MESSAGE_ID"], kind_named("PORT_ABSENT").message_id);
}

#[test]
fn a_server_that_refuses_every_request_gives_a_few_records() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let upstream = Upstream::start([answer("422 Unprocessable Entity", "", "I do not like it")]);
    let mut line = site.plug("text");
    let daemon = journal.run(&site, &(json_port(&line) + &sink(&upstream.address, "")));
    for ten in 0..20 {
        line.send(json_lines(ten * 10..ten * 10 + 10));
        daemon.stored(ten * 10 + 10);
    }
    upstream.asked(40);
    daemon.stop();
    let records = journal.records("SINK=cloud");
    assert!((1..=14).contains(&records.len()), "{records:?}");
    assert!(records.iter().all(|record| record["PRIORITY"] != "6"), "{records:?}");
}

/// A hub with more ports than anybody needs: unplugged and plugged in, each of them is said.
struct Hub<'a> {
    site: &'a Site,
    names: Vec<String>,
    lines: Vec<Line>,
    config: String,
}

impl<'a> Hub<'a> {
    fn new(site: &'a Site) -> Self {
        let names: Vec<String> = (0..100).map(|n| format!("line-{n}")).collect();
        let lines: Vec<Line> = names.iter().map(|name| site.plug(name)).collect();
        let rest = "framing = \"lines\"\nformat = \"json\"";
        let ports = names.iter().zip(&lines).map(|(name, line)| port(name, line.path(), rest));
        Self { site, config: ports.collect(), names, lines }
    }

    /// Unplugs and plugs in until more is said than can be kept, and for longer than it takes to be
    /// late; what a sensor says meanwhile is stored.
    fn until_dropped(&mut self, daemon: &Daemon) {
        let started = Instant::now();
        while dropped(daemon) < 10 || started.elapsed() < Duration::from_secs(2) {
            self.lines.clear();
            self.wait(daemon, 0);
            self.lines = self.names.iter().map(|name| self.site.plug(name)).collect();
            self.wait(daemon, self.names.len());
        }
        self.lines[0].send(json_lines(0..100));
        daemon.stored(100);
    }

    fn wait(&self, daemon: &Daemon, open: usize) {
        let count = || {
            let status = daemon.status();
            let ports = status["ports"].as_array().expect("a list of ports");
            ports.iter().filter(|port| port["state"] == "open").count()
        };
        eventually(&format!("{open} ports are open"), count, |seen| *seen == open);
    }
}

fn dropped(daemon: &Daemon) -> u64 {
    let page = get(&daemon.address, "/metrics").1;
    let value =
        page.lines().find_map(|line| line.strip_prefix("outstation_telemetry_dropped_total "));
    value.and_then(|value| value.parse().ok()).expect("a metric")
}

#[test]
fn a_journald_that_stands_still_holds_nothing_up_and_hears_later_what_it_missed() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let mut hub = Hub::new(&site);
    let daemon = journal.run(&site, &hub.config);
    assert_eq!(dropped(&daemon), 0, "a burst has room");
    journal.signal(Signal::STOP);
    hub.until_dropped(&daemon);
    journal.signal(Signal::CONT);
    let gap = journal.said("MESSAGES_DROPPED", "PRIORITY=4");
    assert_eq!(gap["ERRORS"], "0", "{gap}");
    let late = journal.records("PRIORITY=4").into_iter().filter(|of| number(of, "LATE_S") > 0);
    assert!(late.count() > 0, "what came late says so");
    let counted = dropped(&daemon);
    daemon.stop();
    let gaps = journal.records("MESSAGE_ID=7d2f9e0ab14c4c6b9d6d8f5a3e7c1004");
    assert_eq!(gaps.iter().map(|gap| number(gap, "COUNT")).sum::<u64>(), counted);
}

#[test]
fn a_journald_that_stands_still_does_not_keep_the_daemon_from_ending() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = journal.run(&site, &json_port(&line));
    journal.signal(Signal::STOP);
    line.send(json_lines(0..100));
    daemon.stored(100);
    daemon.stop();
}

#[test]
fn a_journald_that_stands_still_does_not_keep_the_daemon_from_starting() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    journal.signal(Signal::STOP);
    journal.fill();
    let line = site.plug("text");
    let daemon = journal.run(&site, &json_port(&line));
    journal.signal(Signal::CONT);
    journal.said("STARTED", "PRIORITY=6");
    journal.signal(Signal::STOP);
    journal.fill();
    let mut refused = journal.spawn(&Site::new(), "nonsense = 1\n");
    assert_eq!(refused.end().code(), Some(78));
    daemon.stop();
}

#[test]
fn what_was_written_before_a_kill_is_in_the_journal() {
    let Some(journal) = Journal::start() else { return };
    let site = Site::new();
    let mut hub = Hub::new(&site);
    let daemon = journal.run(&site, &hub.config);
    journal.said("STARTED", "PRIORITY=6");
    let before = journal.records("PRIORITY=4").len();
    journal.signal(Signal::STOP);
    // Until the socket is full, so that the writer has come as far as it can.
    hub.until_dropped(&daemon);
    daemon.kill();
    journal.signal(Signal::CONT);
    assert!(journal.records("PRIORITY=4").len() > before);
}

#[test]
fn a_journald_that_is_restarted_hears_what_happened_meanwhile() {
    let Some(mut journal) = Journal::start() else { return };
    let site = Site::new();
    let line = site.plug("text");
    let daemon = journal.run(&site, &json_port(&line));
    journal.said("PORT_OPENED", "PORT=text");
    journal.end(&daemon);
    drop(line);
    port_is(&daemon, "absent");
    let absent = Instant::now();
    eventually("more than a second", || absent.elapsed().as_secs(), |seconds| *seconds > 1);
    journal.restart();
    let absent = journal.said("PORT_ABSENT", "PORT=text");
    assert!(number(&absent, "LATE_S") > 0, "{absent}");
    let _line = site.plug("text");
    port_is(&daemon, "open");
    let id = kind_named("PORT_OPENED").message_id;
    let last = || journal.records("PORT=text").pop().expect("it was opened before");
    let opened = eventually("the port opened again", last, |last| last["MESSAGE_ID"] == id);
    assert_eq!(number(&opened, "LATE_S"), 0, "{opened}");
    daemon.stop();
}

#[test]
fn without_a_journald_records_are_text_although_systemd_promised_one() {
    if !is_root() {
        return skip("this test needs root and `unshare`");
    }
    let site = Site::new();
    let script = format!("mount -t tmpfs tmpfs /run\n{AS_SYSTEMD}");
    let starter = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"];
    let daemon = site.spawn_saying("auto", "info", &starter, "").ready();
    eventually("it says that it started", || daemon.said(), |said| said.contains(" INFO started"));
    daemon.stop();
}

/// A terminal that is paused, or a pipe into a program that does not read.
#[test]
fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let site = Site::new();
    let mut hub = Hub::new(&site);
    let pipe = site.path("pipe").display().to_string();
    let made = Command::new("mkfifo").arg(&pipe).status().expect("run `mkfifo`");
    assert!(made.success());
    let _unread = File::options().read(true).write(true).open(&pipe).expect("open a pipe");
    let starter = ["sh", "-c", &format!("exec \"$@\" 2>{pipe}"), "sh"];
    let daemon = site.spawn_saying("json", "info", &starter, &hub.config).ready();
    hub.until_dropped(&daemon);
    daemon.stop();
}
