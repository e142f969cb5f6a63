//! An upstream that is away, busy, silent, mad or rude, and comes round: every reading arrives,
//! once in effect.

use std::time::Duration;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Act, Upstream, answer};
use crate::kit::wait::eventually;

/// A daemon that stored thirty readings while `upstream` did its worst to them.
fn thirty(site: &Site, upstream: &str, rest: &str) -> (Daemon, crate::kit::line::Line) {
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(upstream, rest)));
    line.send(json_lines(0..30));
    daemon.stored(30);
    (daemon, line)
}

/// The thirty have arrived; then another ten do.
fn all_arrive(daemon: Daemon, mut line: crate::kit::line::Line, collector: &Collector) -> u64 {
    daemon.delivered(30);
    line.send(json_lines(30..40));
    let status = daemon.delivered(40);
    assert_eq!(status["sinks"][0]["breaker"], "closed");
    let repeats = collector.holds(40);
    assert_eq!(collector.values("text"), json_values(0..40));
    daemon.stop();
    repeats
}

#[test]
fn a_collector_that_goes_away_and_comes_back_gets_everything() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let (daemon, mut line) = thirty(&site, &collector.address, "");
    daemon.delivered(30);
    let address = collector.away();
    line.send(json_lines(30..60));
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"link_down".into(), &30.into()));
    line.send(json_lines(60..90));
    daemon.stored(90);
    let collector = Collector::start_at(&site, &address);
    daemon.delivered(90);
    assert_eq!(collector.holds(90), 0);
    assert_eq!(collector.values("text"), json_values(0..90));
    let said = daemon.said();
    assert_eq!(said.matches("sink does not accept").count(), 1, "{said}");
    assert_eq!(said.matches("sink accepts again").count(), 1, "{said}");
    assert!(!said.contains("ERROR"), "an outage loses nothing: {said}");
    daemon.stop();
}

#[test]
fn a_collector_that_is_killed_in_the_middle_of_a_backlog_gets_the_rest_later() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&collector.address, "batch_readings = 50");
    let daemon = site.start(&config);
    line.send(json_lines(0..1000));
    eventually("some have arrived", || collector.stats(), |stats| stats["unique"] != 0);
    let address = collector.away();
    line.send(json_lines(1000..2000));
    daemon.stored(2000);
    let collector = Collector::start_at(&site, &address);
    daemon.delivered(2000);
    collector.holds(2000);
    assert_eq!(collector.values("text"), json_values(0..2000));
    daemon.stop();
}

#[test]
fn a_server_in_trouble_is_left_alone_and_asked_again() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let upstream = Upstream::start([answer("503 Service Unavailable", "", "maintenance")]);
    let (daemon, line) = thirty(&site, &upstream.address, "");
    let open = daemon.breaker("open");
    assert_eq!(open["cause"], "server_busy");
    let error = open["last_error"].as_str().expect("an error");
    assert!(error.contains("503") && error.contains("maintenance"), "{error}");
    upstream.turn_to(Act::Forward(collector.address.clone()));
    assert_eq!(all_arrive(daemon, line, &collector), 0);
}

#[test]
fn a_server_that_names_a_time_is_not_asked_before_it() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let busy = answer("503 Service Unavailable", "Retry-After: 2\r\n", "");
    let upstream = Upstream::start([busy, Act::Forward(collector.address.clone())]);
    let (daemon, line) = thirty(&site, &upstream.address, "");
    let requests = upstream.asked(2);
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_secs(2), "it waited only {waited:?}");
    assert_eq!(all_arrive(daemon, line, &collector), 0);
}

#[test]
fn a_server_that_never_answers_costs_a_timeout_and_no_more() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let upstream = Upstream::start([Act::Hang, Act::Forward(collector.address.clone())]);
    let (daemon, line) = thirty(&site, &upstream.address, "");
    let requests = upstream.asked(2);
    let waited = requests[1].at - requests[0].at;
    // It is given 500 ms from before the moment at which our end has read the request.
    assert!(waited >= Duration::from_millis(250), "it gave up after {waited:?}");
    assert_eq!(all_arrive(daemon, line, &collector), 0);
}

#[test]
fn a_server_that_talks_nonsense_is_no_different_from_one_that_is_away() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let upstream = Upstream::start([
        Act::Say("SSH-2.0-OpenSSH_9.2\r\n".into()),
        Act::Say("HTTP/1.1 200 OK\r\ncontent-le".into()),
        Act::Endless,
        Act::Close,
        Act::Forward(collector.address.clone()),
    ]);
    let (daemon, line) = thirty(&site, &upstream.address, "");
    assert_eq!(all_arrive(daemon, line, &collector), 0);
    assert!(upstream.requests().len() >= 5);
}

#[test]
fn a_reply_that_is_lost_after_the_readings_were_stored_makes_repeats_and_no_doubles() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let cut = Act::ForwardAndCut(collector.address.clone());
    let upstream = Upstream::start([cut.clone(), cut, Act::Forward(collector.address.clone())]);
    // So that the first request holds readings.
    let (daemon, line) = thirty(&site, &upstream.address, "events = false");
    let repeats = all_arrive(daemon, line, &collector);
    assert!(repeats > 0, "the cut was not where it should be");
    let keys: Vec<_> = upstream
        .requests()
        .iter()
        .map(|r| r.header("idempotency-key").map(str::to_owned))
        .collect();
    assert!(keys.iter().all(Option::is_some), "{keys:?}");
}

#[test]
fn a_request_that_is_repeated_is_the_very_same() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let busy = answer("503 Service Unavailable", "", "");
    let upstream = Upstream::start([busy.clone(), busy, Act::Forward(collector.address.clone())]);
    let mut line = site.plug("text");
    let sink = sink(&upstream.address, "").replace("retries = 0", "retries = 2");
    let daemon = site.start(&(json_port(&line) + &sink));
    line.send(json_lines(0..30));
    let requests = upstream.asked(3);
    daemon.delivered(30);
    assert_eq!(daemon.sink()["breaker"], "closed");
    for request in &requests[1..3] {
        assert_eq!(request.header("idempotency-key"), requests[0].header("idempotency-key"));
        assert_eq!(request.body, requests[0].body);
    }
    assert_eq!(all_arrive(daemon, line, &collector), 0);
}

#[test]
fn any_server_that_logs_bodies_gets_each_reading_and_event_as_a_json_object() {
    let site = Site::new();
    let upstream = Upstream::start([answer("204 No Content", "", "")]);
    let (daemon, mut line) = thirty(&site, &upstream.address, "encoding = \"json\"");
    daemon.delivered(30);
    line.send("{\"s\":\"x\\\"\\u00e9\",\"b\":true,\"bme\":{\"t\":-0.5}}\n");
    daemon.delivered(31);
    let requests = upstream.requests();
    let (mut readings, mut events) = (Vec::new(), Vec::new());
    for request in &requests {
        assert_eq!(request.line, "POST /v1/readings HTTP/1.1");
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        let text = std::str::from_utf8(&request.body).expect("JSON is UTF-8");
        let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON object");
        let (reported, read): (Vec<_>, Vec<_>) =
            text.lines().map(line).partition(|line| line["event"].is_u64());
        events.extend(reported);
        readings.extend(read);
    }
    assert!(events.iter().map(|event| &event["event"]).eq(1..=events.len()), "{events:?}");
    let keys: std::collections::BTreeSet<_> =
        requests.iter().map(|r| r.header("idempotency-key").expect("a key")).collect();
    assert_eq!(keys.len(), requests.len(), "each batch has its own key");
    let epoch = readings[0]["epoch"].as_u64().expect("an epoch");
    let mut values = json_values(0..30);
    values.push(serde_json::json!({"s": "x\"é", "b": true, "bme.t": -0.5}));
    for ((reading, values), seq) in readings.iter().zip(&values).zip(1..) {
        let time = reading["time"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z') && time.starts_with("20"), "{time}");
        let expected = serde_json::json!({
            "device": "site", "epoch": epoch, "seq": seq, "port": "text", "sensor": "text",
            "time": time, "values": values,
        });
        assert_eq!(reading, &expected);
    }
    assert_eq!(readings.len(), 31);
    daemon.stop();
}
