//! An upstream that refuses until a person does something: it is said once, nothing is lost, and
//! nothing goes where it should not.

use serde_json::Value;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::line::Line;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Upstream, answer};

/// Sends ten readings, which stay pending because the sink is set up wrongly; how it is then.
fn misconfigured(daemon: &Daemon, line: &mut Line) -> Value {
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()));
    open
}

#[test]
fn a_wrong_token_is_said_once_as_an_error_and_shown_nowhere() {
    let site = Site::new();
    let token = site.write("token", "not-the-right-one\n");
    let right = site.write("right", "the-right-one\n").display().to_string();
    let collector = Collector::start_with(&site, &["--token-file", &right]);
    let mut line = site.plug("text");
    let rest = format!("token_file = \"{}\"", token.display());
    let config = json_port(&line) + &sink(&collector.address, &rest);
    let daemon = site.start(&config);
    let open = misconfigured(&daemon, &mut line);
    assert!(open["last_error"].as_str().is_some_and(|error| error.contains("401")), "{open}");
    let said = daemon.said();
    assert_eq!(said.matches("ERROR").count(), 1, "{said}");
    assert!(said.contains("the file that `token_file` names"), "what to fix: {said}");
    let (_, metrics) = get(&daemon.address, "/metrics");
    for text in [said, daemon.status().to_string(), metrics] {
        assert!(!text.contains("right-one"), "{text}");
    }
    daemon.stop();
    std::fs::write(&token, "the-right-one\n").expect("write the token");
    let daemon = site.start(&config);
    daemon.delivered(10);
    daemon.stop();
}

#[test]
fn a_token_file_that_is_missing_keeps_no_reading_from_being_recorded() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let rest = format!("token_file = \"{}\"", site.path("nowhere").display());
    let daemon = site.start(&(json_port(&line) + &sink(&collector.address, &rest)));
    let open = misconfigured(&daemon, &mut line);
    assert!(open["last_error"].as_str().is_some_and(|e| e.contains("nowhere")), "{open}");
    assert_eq!(collector.stats()["unique"], 0);
    daemon.stop();
}

#[test]
fn a_token_file_that_everybody_may_read_is_refused_and_readings_are_recorded() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let token = site.path("token");
    std::fs::write(&token, "open-sesame\n").expect("write the token");
    let rest = format!("token_file = \"{}\"", token.display());
    let config = json_port(&line) + &sink(&collector.address, &rest);
    let daemon = site.start(&config);
    misconfigured(&daemon, &mut line);
    let said = daemon.said();
    assert!(said.contains(&format!("close it with `chmod o= {}`", token.display())), "{said}");
    assert!(!said.contains("open-sesame"), "{said}");
    daemon.stop();
    site.write("token", "open-sesame\n");
    let daemon = site.start(&config);
    daemon.delivered(10);
    daemon.stop();
}

#[test]
fn a_redirect_is_not_followed_and_the_token_goes_nowhere_else() {
    let site = Site::new();
    let elsewhere = Upstream::start([answer("200 OK", "", "")]);
    let location = format!("Location: http://{}/v1/readings\r\n", elsewhere.address);
    let upstream = Upstream::start([answer("302 Found", &location, "got Bearer s3cret")]);
    let mut line = site.plug("text");
    let token = site.write("token", "s3cret");
    let rest = format!("token_file = \"{}\"", token.display());
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, &rest)));
    let open = misconfigured(&daemon, &mut line);
    assert!(open["last_error"].as_str().is_some_and(|error| error.contains("302")), "{open}");
    assert_eq!(upstream.requests()[0].header("authorization"), Some("Bearer s3cret"));
    assert_eq!(elsewhere.requests().len(), 0);
    let shown = daemon.said() + &daemon.status().to_string();
    assert!(!shown.contains("s3cret"), "a server that echoes it does not publish it: {shown}");
    daemon.stop();
}

#[test]
fn a_server_that_rejects_everything_stops_the_sink_after_few_readings_and_requests() {
    let site = Site::new();
    let upstream = Upstream::start([answer("400 Bad Request", "", "what is this?\nsecond line")]);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&upstream.address, "events = false");
    let daemon = site.start(&config);
    for part in 0..20 {
        line.send(json_lines(part * 10..part * 10 + 10));
        daemon.stored(part * 10 + 10);
    }
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["delivered"]), (&"misconfigured".into(), &0.into()));
    assert!(open["pending"].as_u64().is_some_and(|pending| pending > 200 - 16), "{open}");
    assert!(upstream.requests().len() <= 80, "{} requests", upstream.requests().len());
    let said = daemon.said();
    assert!(
        said.contains("nearly everything is refused") && said.contains("what is this?"),
        "{said}"
    );
    daemon.stop();
}
