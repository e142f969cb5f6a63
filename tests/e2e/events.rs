//! What happens to a device is published upstream like its readings: in order, and once in effect.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::collector::{CollectedEvent, Collector};
use crate::kit::daemon::Daemon;
use crate::kit::program::outstation;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Act, Upstream, answer};
use crate::kit::wait::eventually;

const ENCODINGS: [&str; 2] = ["encoding = \"packed\"", "encoding = \"json\""];

/// Waits until the sink has every published event.
fn all_published(daemon: &Daemon) -> Value {
    eventually("no event is pending", || daemon.status(), |s| s["sinks"][0]["pending_events"] == 0)
}

/// What arrived of one stream: (kind, data), with the positions of all streams checked.
fn heard(collector: &Collector, stream: &str) -> Vec<(String, Value)> {
    // Others may arrive between the two looks.
    let mut events = Vec::new();
    let apart = || {
        events = collector.events();
        collector.stats()["events"].as_u64().expect("a count").abs_diff(events.len() as u64)
    };
    eventually("the collector counts the events it holds", apart, |apart| *apart == 0);
    assert!(events.iter().map(|event| event.position).eq(1..=events.len() as u64), "{events:?}");
    let of_stream = events.into_iter().filter(|event| event.stream == stream);
    of_stream.map(|CollectedEvent { kind, data, .. }| (kind, data)).collect()
}

/// Waits until this many events of a stream have arrived.
fn heard_all(collector: &Collector, stream: &str, count: usize) -> Vec<(String, Value)> {
    let arrived = || collector.events().iter().filter(|event| event.stream == stream).count();
    eventually(&format!("{count} events of {stream}"), arrived, |found| *found == count);
    heard(collector, stream)
}

fn event(kind: &str, data: Value) -> (String, Value) {
    (kind.to_owned(), data)
}

#[test]
fn a_first_start_tells_the_epoch_the_configuration_and_the_sensors() {
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let mut line = site.plug("text");
        let daemon = site.start(&(json_port(&line) + &sink(&collector.address, encoding)));
        line.send(json_lines(0..10));
        daemon.delivered(10);
        let epoch = all_published(&daemon)["log"]["epoch"].clone();
        let began = json!({"began": epoch, "from": 1, "reason": "created"});
        assert_eq!(heard(&collector, "log"), [event("epoch_began", began)]);
        let config = heard(&collector, "config");
        assert_eq!((config.len(), &config[0].1["generation"]), (1, &json!(1)));
        let channels = json!([
            {"name": "n", "unit": "", "kind": "int"}, {"name": "t", "unit": "", "kind": "f64"}
        ]);
        let sensor = json!({"number": 0, "port": "text", "sensor": "text", "channels": channels});
        let registry = heard(&collector, "registry");
        let (kind, described) = registry.last().expect("the sensor is described");
        assert_eq!(kind, "sensor_described");
        assert_eq!(
            (&described["port"], &described["channels"]),
            (&sensor["port"], &sensor["channels"])
        );
        let clock: Vec<String> =
            heard(&collector, "clock").into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(clock, ["boot_started", "clock_anchored"]);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        for event in collector.events() {
            assert!(now.abs_diff(event.time_ms.unsigned_abs().into()) < 60_000, "{event:?}");
        }
        assert_eq!(collector.holds(10), 0);
        daemon.stop();
    }
}

#[test]
fn a_port_unplugged_and_back_is_told_in_order_and_once() {
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let mut line = site.plug("text");
        let config = json_port(&line) + &sink(&collector.address, encoding);
        let daemon = site.start(&config);
        line.send(json_lines(0..10));
        daemon.delivered(10);
        drop(line);
        eventually("the port is gone", || daemon.port("text"), |port| port["state"] == "absent");
        let mut line = site.plug("text");
        line.send(json_lines(10..20));
        daemon.delivered(20);
        let opened = event("port_opened", json!({}));
        let lost = event("port_lost", json!({"reason": "lost"}));
        assert_eq!(heard_all(&collector, "port/text", 3), [opened.clone(), lost, opened]);
        all_published(&daemon);
        assert_eq!(collector.stats()["event_repeats"], 0);
        assert_eq!(collector.holds(20), 0);
        daemon.stop();
    }
}

#[test]
fn lines_that_do_not_parse_are_told_by_reason() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, "")));
    line.send("no json\n");
    line.send(json_lines(0..10));
    daemon.stored(10);
    line.send(b"\xff\xfe\nnor this\n");
    let counted = |port: &Value| port["faults"] == json!({"not_utf8": 1, "unparsable": 2});
    eventually("three are counted", || daemon.port("text"), counted);
    // The first is published at once, what follows closely at the end at the latest.
    let first = heard_all(&collector, "port/text", 2).remove(1);
    assert_eq!(first, event("frames_lost", json!({"faults": {"unparsable": 1}})));
    daemon.stop();
    let daemon = site.start(&sink(&collector.address, ""));
    let rest = heard_all(&collector, "port/text", 3).remove(2);
    let faults = json!({"faults": {"not_utf8": 1, "unparsable": 1}});
    assert_eq!(rest, event("frames_lost", faults));
    daemon.stop();
}

#[test]
fn a_change_of_the_configuration_is_told_once_and_a_restart_is_not() {
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let first = sink(&collector.address, encoding);
        let second = sink(&collector.address, &format!("{encoding}\nbatch_readings = 50"));
        for config in [&first, &first, &second, &second] {
            let daemon = site.start(config);
            all_published(&daemon);
            daemon.stop();
        }
        let heard = heard(&collector, "config");
        let [(_, one), (kind, two)] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!((kind.as_str(), &one["generation"]), ("config_applied", &json!(1)));
        assert_eq!((&two["generation"], &two["version"]), (&json!(2), &json!("0.1.0")));
        assert_ne!(one["digest"], two["digest"]);
    }
}

/// The transitions of the breaker, once so many have arrived.
fn moves(collector: &Collector, count: usize) -> Vec<Value> {
    heard_all(collector, "sink/cloud", count).into_iter().map(|(_, data)| data).collect()
}

#[test]
fn an_outage_is_told_when_it_is_over_also_after_a_kill() {
    let open = json!({"breaker": "open", "cause": "link_down"});
    let closed = json!({"breaker": "closed", "cause": null});
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let mut line = site.plug("text");
        let config = json_port(&line) + &sink(&collector.address, encoding);
        let daemon = site.start(&config);
        line.send(json_lines(0..10));
        daemon.delivered(10);
        all_published(&daemon);
        let address = collector.away();
        line.send(json_lines(10..20));
        daemon.breaker("open");
        let collector = Collector::start_at(&site, &address);
        daemon.delivered(20);
        assert_eq!(moves(&collector, 2), [open.clone(), closed.clone()]);
        all_published(&daemon);

        // Another one, in the middle of which the daemon is killed.
        let address = collector.away();
        line.send(json_lines(20..30));
        daemon.breaker("open");
        eventually(
            "the outage is in the log",
            || daemon.sink(),
            |sink| sink["pending_events"] == 1,
        );
        daemon.kill();
        drop(line);
        let mut line = site.plug("text");
        let collector = Collector::start_at(&site, &address);
        let daemon = site.start(&config);
        line.send(json_lines(30..40));
        daemon.delivered(40);
        all_published(&daemon);
        let twice = [open.clone(), closed.clone(), open.clone(), closed.clone()];
        assert_eq!(moves(&collector, 4), twice);
        let ports = heard(&collector, "port/text");
        assert!(ports.iter().all(|(kind, _)| kind == "port_opened"), "{ports:?}");
        assert_eq!(ports.len(), 2);
        collector.holds(40);
        assert_eq!(collector.values("text"), json_values(0..40));

        // What was delivered and not yet noted at a kill comes again, and counts once.
        daemon.kill();
        let daemon = site.start(&config);
        all_published(&daemon);
        heard(&collector, "log");
        daemon.stop();
    }
}

#[test]
fn an_idle_daemon_sends_and_commits_nothing() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, "")));
    heard_all(&collector, "port/text", 1);
    all_published(&daemon);
    let attempts = || {
        let status = daemon.status();
        json!([status["sinks"][0]["requests"], status["log"]["commits"]])
    };
    // The last acknowledgement is committed ten intervals of 20 ms later.
    let mut before = Value::Null;
    let rests = || {
        std::thread::sleep(Duration::from_secs(1));
        std::mem::replace(&mut before, attempts()) == before
    };
    eventually("it rests", rests, |rests| *rests);
    // That nothing follows can only be waited for.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(attempts(), before);
    daemon.stop();
}

#[test]
fn an_outage_with_nothing_but_events_to_tell_makes_no_events_and_no_storm() {
    let site = Site::new();
    let upstream = Upstream::start([answer("503 Service Unavailable", "", "")]);
    let line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, "")));
    daemon.breaker("open");
    // Epoch, configuration, boot, clock, port, breaker.
    eventually("the outage is in the log", || daemon.sink(), |sink| sink["pending_events"] == 6);
    let before = upstream.requests().len();
    std::thread::sleep(Duration::from_secs(2));
    let more = upstream.requests().len() - before;
    // Full jitter may be short a few times; a loop would make hundreds.
    assert!(more <= 20, "{more} requests in two seconds");
    assert_eq!(daemon.sink()["pending_events"], 6, "trying makes no news");
    let collector = Collector::start(&site);
    upstream.turn_to(Act::Forward(collector.address.clone()));
    all_published(&daemon);
    assert_eq!(moves(&collector, 2)[0]["cause"], "server_busy");
    daemon.stop();
}

#[test]
fn a_sink_without_events_gets_readings_alone_and_owes_nothing() {
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let mut line = site.plug("text");
        let rest = format!("{encoding}\nevents = false");
        let daemon = site.start(&(json_port(&line) + &sink(&collector.address, &rest)));
        assert_eq!(daemon.sink()["pending_events"], 0);
        line.send(json_lines(0..10));
        daemon.delivered(10);
        assert_eq!(daemon.sink()["pending_events"], 0);
        assert_eq!(collector.holds(10), 0);
        assert_eq!(collector.stats()["events"], 0);
        daemon.stop();

        // From now on it takes events, and it gets what happened before, too.
        let daemon = site.start(&(json_port(&line) + &sink(&collector.address, encoding)));
        all_published(&daemon);
        assert_eq!(heard(&collector, "log")[0].0, "epoch_began");
        daemon.stop();
    }
}

#[test]
fn a_server_that_refuses_events_is_named_with_the_remedy_and_it_helps() {
    let site = Site::new();
    let upstream = Upstream::start([answer("400 Bad Request", "", "no seq")]);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, "")));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let remedy = |said: &String| said.contains("`events = false`") && said.contains("no seq");
    eventually("it says what helps", || daemon.said(), remedy);
    daemon.stop();
    let collector = Collector::start(&site);
    upstream.turn_to(Act::Forward(collector.address.clone()));
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, "events = false")));
    eventually("nothing waits", || daemon.sink(), |sink| sink["pending"] == 0);
    // What was refused before the server was no longer trusted.
    let config = site.path("outstation.toml").display().to_string();
    outstation(&["quarantine", "replay", "all", "--config", &config]);
    daemon.delivered(10);
    collector.holds(10);
    daemon.stop();
}

#[test]
fn a_copy_of_a_log_goes_on_under_a_new_epoch_in_which_nothing_is_missing() {
    for encoding in ENCODINGS {
        let site = Site::new();
        let collector = Collector::start(&site);
        let mut line = site.plug("text");
        let config = json_port(&line) + &sink(&collector.address, encoding);
        let daemon = site.start(&config);
        for part in 0..5 {
            line.send(json_lines(part * 10..part * 10 + 10));
            daemon.delivered(part * 10 + 10);
        }
        daemon.stop();
        std::fs::copy(site.log(), site.path("copy.db")).expect("copy the log");
        std::fs::rename(site.path("copy.db"), site.log()).expect("put the copy in place");
        let daemon = site.start(&config);
        line.send(json_lines(50..60));
        daemon.delivered(60);
        all_published(&daemon);
        let stats = collector.stats();
        assert_eq!((&stats["unique"], &stats["repeats"]), (&json!(60), &json!(0)), "{stats}");
        assert_eq!(stats["missing"], 0, "{stats}");
        assert_eq!(stats["devices"].as_array().map(Vec::len), Some(2), "{stats}");
        let seqs: Vec<i64> = collector.rows().iter().map(|row| row.seq).collect();
        assert!(seqs.iter().copied().eq(1..=60), "{seqs:?}");
        daemon.stop();
    }
}
