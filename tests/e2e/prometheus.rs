//! The daemon and a real Prometheus: what a sensor said can be queried, each value at its time, once.

use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::line::Line;
use crate::kit::site::{Site, json_port, port};
use crate::kit::tsdb::{Held, Tsdb, write_url};
use crate::kit::upstream::{Act, Upstream};
use crate::kit::wait::eventually;

/// A sink that gives its upstream two seconds and leaves repeating to the breaker.
fn sink(url: &str, rest: &str) -> String {
    format!(
        "[[sink]]\nname = \"tsdb\"\nkind = \"prometheus\"\nurl = \"{url}\"\ntimeout = \"2s\"\n\
         retries = 0\n{rest}\n"
    )
}

fn dated_port(line: &Line) -> String {
    let keys = "framing = \"lines\"\nformat = \"json\"\ntime_key = \"ts\"\ntime_unit = \"ms\"";
    port("text", line.path(), keys)
}

fn now_ms() -> i64 {
    outstation::clock::Clock::system().wall_ms()
}

/// Lines with a time of their own, 10 ms apart.
fn lines(from_ms: i64, numbers: std::ops::Range<i64>) -> String {
    let line = |n: i64| format!("{{\"ts\":{},\"t\":{}}}\n", from_ms + 10 * n, value(n));
    numbers.map(line).collect()
}

fn value(n: i64) -> f64 {
    f64::from(i32::try_from(n % 1000).expect("small")) / 8.0 + 0.0625
}

/// What must be held of them.
fn held(from_ms: i64, numbers: impl Iterator<Item = i64>) -> Held {
    let points = numbers.map(|n| (from_ms + 10 * n, value(n))).collect();
    Held::from([("__name__=t,device=site,port=text,sensor=text".to_owned(), points)])
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, page) = get(&daemon.address, "/metrics");
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{page}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn what_a_sensor_said_is_queried_back_and_what_has_no_number_is_counted() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let site = Site::new();
    let mut line = site.plug("text");
    let labels = "labels = { site = \"north\" }\nmetric_prefix = \"rig_\"";
    let daemon = site.start(&(dated_port(&line) + &sink(&tsdb.url(), labels)));
    let from = now_ms() - 10_000;
    for n in 0..50 {
        let open = n % 2 == 0;
        line.send(format!(
            "{{\"ts\":{},\"bme\":{{\"t\":{}}},\"open\":{open},\"state\":\"ok\"}}\n",
            from + n,
            value(n)
        ));
    }
    daemon.delivered(50);
    let of = |name: &str, value: fn(i64) -> f64| {
        let labels = format!("__name__=rig_{name},device=site,port=text,sensor=text,site=north");
        (labels, (0..50).map(|n| (from + n, value(n))).collect())
    };
    let (name, points) = of("bme_t", value);
    let renamed = name.replace(",device", ",channel=bme.t,device");
    let open = of("open", |n| if n % 2 == 0 { 1.0 } else { 0.0 });
    assert_eq!(tsdb.holds(), Held::from([(renamed, points), open]));
    let left_out = "outstation_sink_left_out_values_total{sink=\"tsdb\",reason=\"text\"}";
    let left_out_too = "outstation_sink_left_out_values_total{reason=\"text\",sink=\"tsdb\"}";
    let (_, page) = get(&daemon.address, "/metrics");
    let counted = [left_out, left_out_too].iter().any(|name| page.contains(&format!("{name} 50")));
    assert!(counted, "{page}");
    daemon.stop();
}

#[test]
fn a_prometheus_killed_in_the_middle_of_a_backlog_gets_the_rest_later() {
    let Some(mut tsdb) = Tsdb::prometheus() else { return };
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = site.start(&(dated_port(&line) + &sink(&tsdb.url(), "batch_readings = 50")));
    let from = now_ms() - 60_000;
    for part in 0..4 {
        line.send(lines(from, part * 1000..part * 1000 + 1000));
        if part < 3 {
            eventually("some have arrived", || daemon.sink(), |s| s["readings"] != 0);
            tsdb.kill();
            daemon.stored(u64::try_from(part + 1).expect("few") * 1000);
            tsdb.restart();
        }
    }
    daemon.delivered(4000);
    assert_eq!(tsdb.holds(), held(from, 0..4000));
    daemon.stop();
}

#[test]
fn acknowledgements_that_are_lost_make_no_gap_no_double_and_no_refusal() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let cut = Act::ForwardAndCut(tsdb.address.clone());
    let proxy = Upstream::start([cut.clone()]);
    let site = Site::new();
    let mut line = site.plug("text");
    let rest = "batch_readings = 50";
    let daemon = site.start(&(dated_port(&line) + &sink(&write_url(&proxy.address), rest)));
    let from = now_ms() - 60_000;
    for part in 0..3 {
        proxy.turn_to(cut.clone());
        let before = proxy.requests().len();
        line.send(lines(from, part * 500..part * 500 + 500));
        proxy.asked(before + 2);
        proxy.turn_to(Act::Forward(tsdb.address.clone()));
        daemon.delivered(u64::try_from(part + 1).expect("few") * 500);
    }
    assert_eq!(tsdb.holds(), held(from, 0..1500));
    assert_eq!(daemon.status()["ledger"]["quarantined"], 0);
    assert!(metric(&daemon, "outstation_sink_found_readings_total") > 0.0, "none was in doubt");
    daemon.stop();
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_backlog_sends_the_rest_and_nothing_twice() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let site = Site::committing("300ms");
    let mut line = site.plug("text");
    let config = dated_port(&line) + &sink(&tsdb.url(), "batch_readings = 50");
    let from = now_ms() - 60_000;
    let count = |daemon: &Daemon, what: &str| daemon.status()["ledger"][what].as_i64();
    for life in 0..3 {
        let daemon = site.start(&config);
        line.send(lines(from, life * 1000..life * 1000 + 1000));
        // All of a line is read, and some are delivered without that being committed.
        let killable = || {
            let [accepted, delivered] = ["accepted", "delivered"].map(|what| count(&daemon, what));
            accepted == Some((life + 1) * 1000) && delivered > Some(life * 1000)
        };
        eventually("it is in the middle", killable, |killable| *killable);
        daemon.kill();
    }
    let daemon = site.start(&config);
    daemon.delivered(3000);
    assert_eq!(tsdb.holds(), held(from, 0..3000));
    assert!(metric(&daemon, "outstation_sink_found_readings_total") > 0.0, "none was in doubt");
    daemon.stop();
}

#[test]
fn a_reading_back_in_time_is_quarantined_alone_and_nothing_waits_behind_it() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = site.start(&(dated_port(&line) + &sink(&tsdb.url(), "")));
    let from = now_ms() - 60_000;
    line.send(lines(from, 0..100));
    daemon.delivered(100);
    // One that is alone, one between others.
    line.send(lines(from + 5, 10..11));
    let quarantined = |count: u64| {
        let what = format!("{count} are quarantined");
        eventually(&what, || daemon.status(), |status| status["ledger"]["quarantined"] == count)
    };
    quarantined(1);
    line.send(lines(from, 100..150) + &lines(from + 5, 20..21) + &lines(from, 150..200));
    let status = quarantined(2);
    assert_eq!(status["ledger"]["balanced"], true);
    let settled = |status: &serde_json::Value| status["ledger"]["pending"] == 0;
    eventually("nothing waits", || daemon.status(), settled);
    assert_eq!(tsdb.holds(), held(from, 0..200));
    daemon.stop();
}

#[test]
fn readings_without_a_sensors_time_are_dated_when_they_arrive() {
    let Some(tsdb) = Tsdb::victoria_metrics() else { return };
    let site = Site::new();
    let mut line = site.plug("text");
    let before = now_ms();
    let daemon = site.start(&(json_port(&line) + &sink(&tsdb.url(), "")));
    line.send("{\"t\":1.5}\n");
    daemon.delivered(1);
    let after = now_ms();
    let arrived = eventually("it is visible", || Shown(tsdb.holds()), |shown| !shown.0.is_empty());
    let (labels, points) = arrived.0.into_iter().next().expect("a series");
    assert_eq!(labels, "__name__=t,device=site,port=text,sensor=text");
    assert!(points.len() == 1 && (before..=after).contains(&points[0].0), "{points:?}");
    daemon.stop();
}

struct Shown(Held);

impl std::fmt::Display for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}
