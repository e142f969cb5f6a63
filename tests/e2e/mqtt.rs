//! The `mqtt` sink against a real Mosquitto: what a sensor said is in the broker, once unless the link
//! broke, and everybody can see whether the device is there.

use crate::kit::certificates::{authority, issue};
use crate::kit::http::get;
use crate::kit::mosquitto::{Broker, Subscriber};
use crate::kit::readings::{hello, json_lines, json_values, samples};
use crate::kit::site::{Site, json_port, postcard_port};
use crate::kit::wait::eventually;

const STATUS: &str = "outstation/site/status";

fn sink(url: &str, rest: &str) -> String {
    format!(
        "[[sink]]\nname = \"cloud\"\nkind = \"mqtt\"\nurl = \"{url}\"\ntimeout = \"5s\"\n\
         retries = 0\n{rest}\n"
    )
}

fn values(readings: &[serde_json::Value]) -> Vec<serde_json::Value> {
    readings.iter().map(|reading| reading["values"].clone()).collect()
}

/// All that a sensor said arrives exactly once and in order, in this version.
fn exactly(version: &str) {
    let site = Site::new();
    let Some(broker) = Broker::start(&site) else { return };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    let mut line = site.plug("text");
    let rest = format!("version = \"{version}\"");
    let daemon = site.start(&(json_port(&line) + &sink(&broker.url(), &rest)));
    line.send(json_lines(0..3000));
    daemon.delivered(3000);
    let (repeats, readings) = subscriber.holds(3000);
    assert_eq!(repeats, 0);
    assert_eq!(values(&readings), json_values(0..3000));
    let order: Vec<_> = subscriber.readings().iter().map(|r| r["seq"].as_u64()).collect();
    assert!(order.is_sorted(), "they come in order");
    let first = &readings[0];
    let expected = serde_json::json!({
        "device": "site", "epoch": first["epoch"], "seq": 1, "port": "text", "sensor": "text",
        "time": first["time"], "values": {"n": 0, "t": 0.0625},
    });
    assert_eq!(first, &expected);
    let seen = subscriber.seen();
    let topics = |sign: &str| -> std::collections::BTreeSet<String> {
        seen.iter().filter(|s| s.payload.contains(sign)).map(|s| s.topic.clone()).collect()
    };
    assert_eq!(topics("\"seq\":"), ["outstation/site/text/text".to_owned()].into());
    assert_eq!(topics("\"event\":"), ["outstation/site/events".to_owned()].into());
    let protocol = if version == "5" { "p5" } else { "p2" };
    let known = format!("as outstation-site-cloud ({protocol}, c0, k60)");
    assert!(broker.said().contains(&known), "a persistent session, kept alive");
    assert_eq!(subscriber.at(STATUS), ["online"]);
    daemon.stop();
    let statuses = || subscriber.at(STATUS).join(" ");
    eventually("it took its leave", statuses, |said| said == "online offline");
    let disconnected = "Client outstation-site-cloud disconnected.";
    eventually("the end was in good order", || broker.said(), |said| said.contains(disconnected));
}

#[test]
fn with_version_5_all_that_a_sensor_said_arrives_once_and_in_order() {
    exactly("5");
}

#[test]
fn what_nobody_subscribes_to_is_counted_and_said_once() {
    let site = Site::new();
    let Some(broker) = Broker::start(&site) else { return };
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&broker.url(), "")));
    let unheard = |count: u64| {
        let metrics = get(&daemon.address, "/metrics").1;
        let said = daemon.said().matches("nobody subscribes to what is published").count();
        let name = "outstation_sink_unheard_messages_total{sink=\"cloud\"}";
        assert!(metrics.contains(&format!("{name} {count}\n")), "{metrics}");
        said
    };
    for part in 0..3 {
        line.send(json_lines(part * 10..part * 10 + 10));
        daemon.delivered(part * 10 + 10);
        assert_eq!(unheard(part * 10 + 10), 1);
    }
    let subscriber = Subscriber::start(&site, &broker, &[]);
    line.send(json_lines(30..40));
    daemon.delivered(40);
    assert_eq!(unheard(30), 1);
    subscriber.leave(&broker);
    line.send(json_lines(40..50));
    daemon.delivered(50);
    assert_eq!(unheard(40), 2, "it is news again");
    daemon.stop();
}

#[test]
fn with_version_3_1_1_all_that_a_sensor_said_arrives_once_and_in_order() {
    exactly("3.1.1");
}

#[test]
fn a_broker_that_lets_few_messages_be_unacknowledged_gets_no_more_at_once() {
    let site = Site::new();
    let Some(broker) = Broker::with(&site, "allow_anonymous true\nmax_inflight_messages 3\n")
    else {
        return;
    };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&broker.url(), "")));
    line.send(json_lines(0..500));
    daemon.delivered(500);
    assert_eq!(subscriber.holds(500).0, 0);
    assert!(!broker.said().contains("exceeded"), "{}", broker.said());
    daemon.stop();
}

#[test]
fn bare_values_come_to_a_topic_of_ones_own_making() {
    let site = Site::new();
    let Some(broker) = Broker::start(&site) else { return };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    let mut line = site.plug("mcu");
    let rest = "payload = \"value\"\ntopic = \"plant/{port}/{device}-{sensor}\"\n\
                events_topic = \"news/{device}\"\nstatus_topic = \"off\"";
    let daemon = site.start(&(postcard_port(&line) + &sink(&broker.url(), rest)));
    line.send(hello());
    line.send(samples(0..2));
    daemon.delivered(2);
    let at = |channel: &str| {
        let topic = format!("plant/mcu/site-mcu/{channel}");
        let what = format!("two messages in {topic}");
        eventually(&what, || subscriber.at(&topic).join(" | "), |seen| seen.contains('|'))
    };
    assert_eq!(at("temperature"), "-20.0 | -19.75");
    assert_eq!(at("position"), "0.0 | 0.1");
    assert_eq!(at("count"), "-50 | -49");
    assert_eq!(at("open"), "true | false");
    assert_eq!(at("card"), "card \"0\" é | card \"1\" é");
    assert!(
        subscriber.at("news/site").iter().all(|event| event.starts_with("{\"device\":\"site\""))
    );
    assert!(!subscriber.at("news/site").is_empty());
    daemon.stop();
    let seen = subscriber.seen();
    assert!(
        seen.iter().all(|s| s.topic.starts_with("plant/") || s.topic == "news/site"),
        "{seen:?}"
    );
}

#[test]
fn a_wrong_password_is_a_misconfiguration_until_the_file_is_mended() {
    let site = Site::new();
    let users = site.path("users");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b", &users.display().to_string(), "pump", "right-one"])
        .status();
    let lines = format!("allow_anonymous false\npassword_file {}\n", users.display());
    let Some(broker) = Broker::with(&site, &lines) else { return };
    assert!(made.expect("run mosquitto_passwd").success());
    let access = ["-u", "pump", "-P", "right-one"];
    let subscriber = Subscriber::start(&site, &broker, &access);
    let password = site.write("password", "wrong-one\n");
    let mut line = site.plug("text");
    let rest = format!("username = \"pump\"\npassword_file = \"{}\"", password.display());
    let config = json_port(&line) + &sink(&broker.url(), &rest);
    let daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    assert!(open["last_error"].as_str().is_some_and(|e| e.contains("password")), "{open}");
    let said = daemon.said();
    assert_eq!(said.matches("ERROR").count(), 1, "{said}");
    assert!(!said.contains("wrong-one"), "{said}");
    daemon.stop();
    std::fs::write(&password, "right-one\n").expect("write the password");
    let daemon = site.start(&config);
    daemon.delivered(10);
    assert_eq!(subscriber.holds(10).0, 0);
    daemon.stop();
}

/// Version 5 says so; from version 3.1.1 the broker takes it and throws it away.
#[test]
fn a_topic_we_may_not_publish_to_is_a_misconfiguration_and_nothing_is_delivered() {
    let site = Site::new();
    let acl = site.write("acl", "topic readwrite outstation/site/status\ntopic read #\n");
    let lines = format!("allow_anonymous true\nacl_file {}\n", acl.display());
    let Some(broker) = Broker::with(&site, &lines) else { return };
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&broker.url(), "events = false")));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    let error = open["last_error"].as_str().expect("an error");
    assert!(
        error.contains("not authorised") && error.contains("outstation/site/text/text"),
        "{error}"
    );
    daemon.stop();
}

#[test]
fn a_device_that_is_killed_is_offline_by_its_will_and_online_again_when_it_is_back() {
    let site = Site::new();
    let Some(broker) = Broker::start(&site) else { return };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&broker.url(), "");
    let daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.delivered(10);
    daemon.kill();
    let statuses = || subscriber.at(STATUS).join(" ");
    eventually("the will was sent", statuses, |said| said == "online offline");
    assert!(!broker.said().contains("outstation-site-cloud disconnected."), "{}", broker.said());
    let daemon = site.start(&config);
    line.send(json_lines(10..20));
    daemon.delivered(20);
    eventually("it is back", statuses, |said| said == "online offline online");
    // What it had not yet written down as delivered came again.
    let (_repeats, readings) = subscriber.holds(20);
    assert_eq!(values(&readings), json_values(0..20));
    daemon.stop();
}

/// Mosquitto acknowledges first and saves later, so that it may lose what it has taken. Saving at each
/// change it is slow enough for its subscriber to have what it did not save.
#[test]
fn a_broker_killed_and_restarted_in_the_middle_of_a_backlog_loses_nothing() {
    const COUNT: u64 = 5000;
    let site = Site::new();
    let lines = "allow_anonymous true\nmax_inflight_messages 0\nautosave_on_changes true\n";
    let Some(mut broker) = Broker::with(&site, lines) else { return };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    broker.saved();
    broker.kill();
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&broker.url(), "batch_readings = 200")));
    line.send(json_lines(0..COUNT));
    daemon.stored(COUNT);
    daemon.breaker("open");
    for kill in 1..=3_u64 {
        broker.start_again();
        let some = kill * COUNT / 6;
        let delivered = || daemon.status()["ledger"]["delivered"].as_u64().unwrap_or(0);
        eventually(&format!("{some} are delivered"), delivered, |delivered| *delivered >= some);
        broker.kill();
    }
    let before = daemon.sink()["pending"].as_u64().expect("a count");
    assert!(before > 0, "it was killed in the middle");
    broker.start_again();
    daemon.delivered(COUNT);
    let (repeats, readings) = subscriber.holds(COUNT);
    assert_eq!(values(&readings), json_values(0..COUNT));
    let taken = broker.said().matches("Received PUBLISH from outstation-site-cloud").count() as u64;
    let others = subscriber.at("outstation/site/events").len() + subscriber.at(STATUS).len();
    let sent_again = taken.saturating_sub(COUNT);
    println!(
        "after three kills the broker got {sent_again} of {COUNT} readings again, and gave \
         {repeats} again to its subscriber"
    );
    // What was not acknowledged: no more than are under way at once.
    assert!(sent_again <= 3 * 1000 + others as u64, "{sent_again}");
    daemon.stop();
}

#[test]
fn with_tls_both_sides_show_who_they_are_and_a_stranger_gets_nothing() {
    let site = Site::new();
    let own = authority();
    let authority = site.write("ca.pem", &own.pem()).display().to_string();
    let [cert, key] = issue(&site, &own, "localhost", 2000, "server");
    let address = site.address();
    let (_, tls) = address.split_once(':').expect("a port");
    let lines = format!(
        "allow_anonymous true\nlistener {tls} 127.0.0.1\ncafile {authority}\ncertfile {cert}\n\
         keyfile {key}\nrequire_certificate true\n"
    );
    let Some(broker) = Broker::with(&site, &lines) else { return };
    let subscriber = Subscriber::start(&site, &broker, &[]);
    let mut line = site.plug("text");
    let url = format!("mqtts://localhost:{tls}");
    let [cert, key] = issue(&site, &own, "pump", 2000, "client");
    let own = format!("cert_file = \"{cert}\"\nkey_file = \"{key}\"\n");
    let trusting = format!("ca_file = \"{authority}\"\n{own}");
    let daemon = site.start(&(json_port(&line) + &sink(&url, &own)));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    assert!(open["last_error"].as_str().is_some_and(|e| e.contains("certificate")), "{open}");
    daemon.stop();
    let unknown = format!("ca_file = \"{authority}\"");
    let daemon = site.start(&(json_port(&line) + &sink(&url, &unknown)));
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    daemon.stop();
    let daemon = site.start(&(json_port(&line) + &sink(&url, &trusting)));
    line.send(json_lines(10..2000));
    daemon.delivered(2000);
    let (repeats, readings) = subscriber.holds(2000);
    assert_eq!((repeats, values(&readings)), (0, json_values(0..2000)));
    daemon.stop();
    let statuses = || subscriber.at(STATUS).join(" ");
    eventually("it took its leave", statuses, |said| said == "online offline");
}

#[test]
fn check_names_a_password_file_or_key_that_cannot_be_used() {
    let site = Site::new();
    let empty = site.write("empty", "\n").display().to_string();
    let cases = [
        ("username = \"u\"\npassword_file = \"/no/such\"".to_owned(), "/no/such"),
        (format!("username = \"u\"\npassword_file = \"{empty}\""), "holds no usable password"),
        (format!("cert_file = \"{empty}\"\nkey_file = \"{empty}\""), "holds no certificate"),
    ];
    for (rest, error) in cases {
        let config = site.configure(&sink("mqtts://localhost", &rest)).display().to_string();
        let out = crate::kit::program::outstation(&["check", "--config", &config]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(error), "{said}");
    }
}
