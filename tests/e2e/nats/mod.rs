//! The `nats` sink and a real nats-server: every reading is in the stream, once.

use std::collections::BTreeSet;

use serde_json::json;

use crate::kit::program::outstation;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port};
use crate::kit::wait::eventually;

use server::{Client, Cutter, NatsServer, Stored, installed};

mod keys;
mod refusals;
pub(crate) mod server;

fn nats(url: &str, rest: &str) -> String {
    format!(
        "[[sink]]\nname = \"nats\"\nkind = \"nats\"\nurl = \"{url}\"\ntimeout = \"2s\"\n\
         retries = 0\n{rest}\n"
    )
}

/// The readings among what is stored, in order of their numbers, each of them once.
fn readings(stored: &[Stored]) -> Vec<&Stored> {
    let ids: BTreeSet<&str> = stored.iter().map(|stored| stored.id.as_str()).collect();
    assert_eq!(ids.len(), stored.len(), "no message is there twice");
    let mut readings: Vec<_> = stored.iter().filter(|stored| stored.body["seq"].is_u64()).collect();
    readings.sort_by_key(|stored| stored.body["seq"].as_u64());
    readings
}

/// Exactly the first `count` readings are in the stream, each with its values.
fn holds(client: &mut Client, count: u64) {
    let stored = client.consume();
    let readings = readings(&stored);
    let seqs: Vec<_> = readings.iter().filter_map(|stored| stored.body["seq"].as_u64()).collect();
    assert!(seqs.iter().copied().eq(1..=count), "none is missing, none is twice: {seqs:?}");
    let values: Vec<_> = readings.iter().map(|stored| stored.body["values"].clone()).collect();
    assert_eq!(values, json_values(0..count));
}

#[test]
fn each_reading_and_event_is_one_message_with_an_id_of_its_own() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let mut line = site.plug("text");
    let config = nats(&server.url(), "subject = \"telemetry.{device}.{port}.{sensor}\"");
    let daemon = site.start(&(json_port(&line) + &config));
    line.send(json_lines(0..30));
    daemon.delivered(30);
    let stored = server.client().consume();
    let epoch = stored[0].body["epoch"].as_u64().expect("an epoch");
    let (events, read): (Vec<_>, Vec<_>) = stored.iter().partition(|s| s.body["event"].is_u64());
    for (stored, (seq, values)) in read.iter().zip((1..).zip(json_values(0..30))) {
        assert_eq!(stored.subject, "telemetry.site.text.text");
        assert_eq!(stored.id, format!("site-{epoch:x}-{seq}"));
        let time = &stored.body["time"];
        assert!(time.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')));
        let expected = json!({
            "device": "site", "epoch": epoch, "seq": seq, "port": "text", "sensor": "text",
            "time": time, "values": values,
        });
        assert_eq!(stored.body, expected);
    }
    assert_eq!(read.len(), 30);
    for (stored, position) in events.iter().zip(1..) {
        assert_eq!(stored.body["event"], position, "in order");
        assert_eq!(stored.subject, "telemetry.site._events._events");
        assert_eq!(stored.id, format!("site-{epoch:x}-e{position}"));
    }
    assert!(events.iter().any(|stored| stored.body["kind"] == "port_opened"), "{events:?}");
    daemon.stop();
}

/// A backlog of so many readings that no sink has seen.
fn backlog(site: &Site, count: u64) {
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &nats("nats://127.0.0.1:1", "")));
    line.send(json_lines(0..count));
    daemon.stored(count);
    daemon.stop();
}

/// Waits until some of a backlog have arrived.
fn midway(server: &NatsServer, at_least: u64) -> u64 {
    let mut client = server.client();
    eventually("some have arrived", || client.count(), |count| *count >= at_least)
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_backlog_has_every_reading_once() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let mut server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let config = nats(&server.url(), "batch_readings = 200");
    let count = 20_000;
    let mut line = site.plug("text");
    server.kill();
    let daemon = site.start(&(json_port(&line) + &config));
    line.send(json_lines(0..count));
    daemon.stored(count);
    for part in 1..=3 {
        server.restart();
        midway(&server, part * 1000);
        server.kill();
    }
    daemon.breaker("open");
    server.restart();
    daemon.delivered(count);
    holds(&mut server.client(), count);
    daemon.stop();
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_of_a_backlog_sends_no_reading_twice() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let count = 20_000;
    backlog(&site, count);
    let server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let config = nats(&server.url(), "batch_readings = 200");
    for part in 1..=3 {
        let daemon = site.start(&config);
        midway(&server, part * 2000);
        daemon.kill();
    }
    let daemon = site.start(&config);
    daemon.delivered(count);
    holds(&mut server.client(), count);
    daemon.stop();
}

#[test]
fn an_acknowledgement_that_is_lost_makes_no_double() {
    if !installed() {
        return;
    }
    let site = Site::new();
    // Who may only publish cannot ask what is there: the stream itself has to know the ids.
    let (server, mut admin, rest) = NatsServer::start_for_a_publisher(&site);
    admin.create_stream(&json!({}));
    let cutter = Cutter::start(&server.address, 2);
    let mut line = site.plug("text");
    let daemon =
        site.start(&(json_port(&line) + &nats(&format!("nats://{}", cutter.address), &rest)));
    line.send(json_lines(0..300));
    daemon.delivered(300);
    assert!(cutter.are_done());
    holds(&mut admin, 300);
    daemon.stop();
}

/// A stream that forgets ids before a batch is repeated, as others do after two minutes.
fn forgetful(site: &Site) -> NatsServer {
    NatsServer::start(site, &[]).with_stream(&json!({"duplicate_window": 100_000_000}))
}

#[test]
fn a_lost_acknowledgement_makes_no_double_when_the_stream_has_forgotten_the_ids() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = forgetful(&site);
    let cutter = Cutter::start(&server.address, 0);
    let mut line = site.plug("text");
    let config = nats(&format!("nats://{}", cutter.address), "");
    let daemon = site.start(&(json_port(&line) + &config));
    line.send(json_lines(0..100));
    daemon.delivered(100);
    for part in 1..=2 {
        cutter.cut(1);
        line.send(json_lines(part * 100..part * 100 + 100));
        daemon.delivered(part * 100 + 100);
        assert!(cutter.are_done());
    }
    holds(&mut server.client(), 300);
    daemon.stop();
}

#[test]
fn a_daemon_that_died_before_it_heard_of_its_batch_sends_none_of_it_twice() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let count = 300;
    backlog(&site, count);
    let server = forgetful(&site);
    let cutter = Cutter::start(&server.address, usize::MAX);
    let daemon = site.start(&nats(&format!("nats://{}", cutter.address), "batch_readings = 100"));
    midway(&server, 100);
    eventually("it is refused", || daemon.sink()["failures"].clone(), |count| *count != 0);
    daemon.kill();
    // And offers it in other pieces.
    let daemon = site.start(&nats(&server.url(), "batch_readings = 30"));
    daemon.delivered(count);
    holds(&mut server.client(), count);
    daemon.stop();
}

#[test]
fn without_a_stream_status_says_how_to_create_one() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &[]);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &nats(&server.url(), "")));
    line.send(json_lines(0..30));
    daemon.stored(30);
    let open = daemon.breaker("open");
    assert_eq!(open["cause"], "misconfigured");
    let error = open["last_error"].as_str().expect("an error");
    assert!(error.contains("no stream takes `telemetry.site`"), "{error}");
    assert!(error.contains("nats stream add") && error.contains("'telemetry.site'"), "{error}");
    assert!(daemon.said().contains("ERROR"), "a person is needed: {}", daemon.said());
    daemon.stop();
}

#[test]
fn a_wrong_token_is_a_misconfiguration_and_is_never_shown() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &["--auth", "correct-horse"]);
    let token = site.write("token", "battery-staple\n");
    let mut line = site.plug("text");
    let config = nats(&server.url(), &format!("token_file = \"{}\"", token.display()));
    let daemon = site.start(&(json_port(&line) + &config));
    line.send(json_lines(0..30));
    daemon.stored(30);
    let open = daemon.breaker("open");
    assert_eq!(open["cause"], "misconfigured");
    let error = open["last_error"].as_str().expect("an error");
    assert!(error.contains("Authorization Violation; check token_file"), "{error}");
    assert!(!(daemon.said() + &daemon.status().to_string()).contains("battery"));
    daemon.stop();
    let mut client = Client::connect(&server.address, &json!({"auth_token": "correct-horse"}));
    client.create_stream(&json!({}));
    std::fs::write(&token, "correct-horse").expect("write a file");
    // A configuration that was put right is tried at once: the sink is a new one.
    let config = config.replace("name = \"nats\"", "name = \"again\"");
    let daemon = site.start(&config);
    daemon.delivered(30);
    holds(&mut client, 30);
    daemon.stop();
}

fn checked(site: &Site, rest: &str) -> (Option<i32>, String) {
    let config = site.configure(&nats("nats://127.0.0.1:4222", rest));
    let output = outstation(&["check", "--config", &config.display().to_string()]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_is_wrong_with_a_nats_sink_is_found_by_check() {
    let site = Site::new();
    assert_eq!(checked(&site, "").0, Some(0));
    let file = |name: &str, text: &str| site.write(name, text).display().to_string();
    let (empty, text) = (file("empty", "\n"), file("text", "no PEM\n"));
    for (rest, expected) in [
        ("subject = \"telemetry.>\"".to_owned(), "found \"telemetry.>\"; allowed: tokens between"),
        ("stream = \"a.b\"".to_owned(), "found \"a.b\"; allowed: the name of a stream"),
        (
            "username = \"pump\"".to_owned(),
            "does not apply by itself; allowed: only with password_file",
        ),
        ("encoding = \"json\"".to_owned(), "does not apply to kind = \"nats\""),
        (
            "token_file = \"/nowhere\"".to_owned(),
            "failed to read the token file `/nowhere`: No such file",
        ),
        (format!("token_file = \"{empty}\""), "holds no usable token"),
        (format!("creds_file = \"{text}\""), "holds no user JWT and seed of its key"),
        (format!("ca_file = \"{text}\""), "holds no certificate"),
        (
            format!("token_file = \"{text}\"\ncreds_file = \"{text}\""),
            "token_file: does not go with creds_file; allowed: one of the two",
        ),
    ] {
        let (code, said) = checked(&site, &rest);
        assert!(code == Some(78) && said.contains(expected), "{rest}: {code:?} {said}");
    }
}
