//! Endpoints and their breakers from outside: failover, and what a loop of crashes does to a server.

use outstation::domain::model::event::Stream;
use outstation::event_log::inspect::LogView;
use serde_json::Value;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::program::outstation;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Upstream, answer};
use crate::kit::wait::eventually;

/// Waits until the log holds what the next process must know.
fn saved(site: &Site) {
    let is_there = || {
        let view = LogView::open(&site.log()).expect("the log can be read");
        let stream = view.stream(&Stream::breaker("cloud")).expect("its stream can be read");
        stream.snapshot.is_some() || !stream.events.is_empty()
    };
    eventually("the breaker is saved", is_there, |there| *there);
}

#[test]
fn a_loop_of_kills_sends_a_server_in_trouble_no_request_before_its_time() {
    let site = Site::new();
    let busy = answer("503 Service Unavailable", "Retry-After: 3600\r\n", "maintenance");
    let upstream = Upstream::start([busy]);
    let mut line = site.plug("text");
    let config = json_port(&line) + &sink(&upstream.address, "");
    let mut daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.stored(10);
    daemon.breaker("open");
    saved(&site);
    for _ in 0..5 {
        daemon.kill();
        // A pty, unlike a serial port, stays locked by a holder that was killed.
        drop(line);
        line = site.plug("text");
        daemon = site.start(&config);
        let open = daemon.breaker("open");
        assert_eq!((&open["cause"], &open["pending"]), (&"server_busy".into(), &10.into()));
        let wait = open["retry_in_s"].as_f64().expect("a wait");
        assert!(wait > 3500.0 && wait < 5401.0, "{open}");
        assert!(daemon.said().contains("did not accept before the restart"), "{}", daemon.said());
    }
    assert_eq!(upstream.requests().len(), 1);
    daemon.stop();
}

fn endpoints(daemon: &Daemon) -> Vec<Value> {
    daemon.sink()["endpoints"].as_array().expect("a list").clone()
}

#[test]
fn a_second_address_takes_over_and_the_first_gets_its_place_back() {
    let site = Site::new();
    // Both write to one store.
    let (first, second) = (Collector::start(&site), Collector::start(&site));
    let mut line = site.plug("text");
    let urls = format!(
        "url = [\"http://{}/v1/readings?key=s3cret\", \"http://{}/v1/readings\"]",
        first.address, second.address
    );
    let one = format!("url = \"http://{}/v1/readings\"", first.address);
    let config = json_port(&line) + &sink(&first.address, "").replace(&one, &urls);
    let address = first.away();
    let daemon = site.start(&config);
    let open = |daemon: &Daemon| {
        let states: Vec<Value> = endpoints(daemon).iter().map(|e| e["breaker"].clone()).collect();
        serde_json::to_string(&states).expect("JSON")
    };
    let mut sent = 0;
    let mut until = |what: &str, states: &str| {
        let send_more = || {
            line.send(json_lines(sent..sent + 10));
            sent += 10;
            daemon.stored(sent);
            open(&daemon)
        };
        eventually(what, send_more, |seen| seen == states);
        daemon.delivered(sent);
        sent
    };
    until("the first address is given up", r#"["open","closed"]"#);
    assert_eq!(daemon.sink()["breaker"], "closed");
    let said = daemon.said();
    assert_eq!(said.matches("another one of the sink is used").count(), 1, "{said}");
    let (_, metrics) = get(&daemon.address, "/metrics");
    let label = format!("sink=\"cloud\",endpoint=\"http://{address}\"");
    for line in [
        format!("outstation_endpoint_breaker{{{label},state=\"open\"}} 1"),
        format!("outstation_breaker_transitions_total{{{label},to=\"open\",cause=\"link_down\"}}"),
    ] {
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    let page = outstation(&["status", "--url", &daemon.address]).stdout;
    let page = String::from_utf8(page).expect("text");
    assert!(page.contains(&format!("http://{address}/v1/readings open (link_down)")), "{page}");
    for shown in [said, metrics, page, daemon.status().to_string()] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    let first = Collector::start_at(&site, &address);
    let sent = until("the first address is used again", r#"["closed","closed"]"#);
    assert_eq!(first.values("text"), json_values(0..sent));
    daemon.stop();
}
