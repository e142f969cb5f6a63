//! Tests of the page that a scraper sees. Prometheus's own linter checks it too.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use metrics::{counter, with_local_recorder};

use super::*;
use crate::domain::policy::breaker::BreakerState;
use crate::status::test_site::{Site, site};
use crate::telemetry::events::{ActorCrashed, BreakerMoved, Report};
use crate::telemetry::metric_names::MetricKind;

fn page(site: &Site) -> String {
    let mut now = site.board.snapshot();
    now.actors = vec!["log".into(), "port mcu".into()];
    Metrics::default().render(&now)
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut promtool) = promtool.stderr(Stdio::piped()).spawn() else {
        let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
        assert!(!strict, "promtool is missing; install prometheus");
        println!("SKIPPED: promtool is missing, so nobody checked /metrics; install prometheus");
        return;
    };
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(page(&site()).as_bytes()).expect("promtool reads");
    drop(input);
    let verdict = promtool.wait_with_output().expect("promtool ends");
    let said = [verdict.stdout, verdict.stderr].concat();
    assert!(verdict.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn every_metric_is_on_the_page_with_its_help_and_its_kind() {
    let site = site();
    site.sink.send_modify(|sink| sink.last_delivery_ms = Some(0));
    site.log.send_modify(|log| log.path = "/tmp/log.db".into());
    let page = page(&site);
    for metric in metric::ALL {
        assert_eq!(metric.kind == MetricKind::Counter, metric.name.ends_with("_total"));
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let head = format!("# HELP {0} {1}\n# TYPE {0} {kind}\n{0}", metric.name, metric.help);
        assert!(page.contains(&head), "{head} is not in\n{page}");
    }
    assert_eq!(page.matches("# HELP").count(), metric::ALL.len());
}

#[tokio::test]
async fn every_series_has_the_labels_that_are_documented() {
    let site = site();
    site.sink.send_modify(|sink| sink.last_delivery_ms = Some(0));
    site.log.send_modify(|log| log.path = "/tmp/log.db".into());
    for line in page(&site).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let metric = metric::ALL.iter().find(|metric| metric.name == name).expect(name);
        // The separator is a quote with a comma, because the value of a label may itself hold commas.
        let labels = rest.strip_prefix('{').map(|rest| rest.split("\",").collect::<Vec<_>>());
        let labels = labels.unwrap_or_default().into_iter();
        let labels: Vec<_> = labels.filter_map(|label| Some(label.split_once('=')?.0)).collect();
        assert_eq!(labels, metric.labels, "{line}");
    }
}

#[tokio::test]
async fn values_are_those_of_the_statuses() {
    let page = page(&site());
    for line in [
        "outstation_build_info{version=\"0.1.0\"} 1",
        "outstation_log_bytes 8192",
        "outstation_port_open{port=\"mcu\"} 1",
        "outstation_port_waiting_frames{port=\"mcu\"} 0",
        "outstation_port_readings_total{port=\"mcu\"} 10",
        "outstation_readings_accepted_total 10",
        "outstation_readings_lost_total{reason=\"overflow\"} 2",
        "outstation_readings_pending 3",
        "outstation_ledger_balanced 1",
        "outstation_sink_pending_readings{sink=\"cloud\"} 3",
        "outstation_sink_backlog_readings{sink=\"cloud\"} 1",
        "outstation_sink_oldest_pending_age_seconds{sink=\"cloud\"} 0",
        "outstation_clock_seconds 1700000000",
        "outstation_device_uptime_seconds 0",
        "outstation_sink_skipped_total{sink=\"cloud\"} 5",
        "outstation_sink_pending_events{sink=\"cloud\"} 2",
        "outstation_sink_sent_bytes_total{sink=\"cloud\"} 99",
        "outstation_endpoint_requests_total{sink=\"cloud\",endpoint=\"https://example.com\"} 2",
        "outstation_endpoint_failures_total{sink=\"cloud\",endpoint=\"https://example.com\"} 1",
        "outstation_endpoint_breaker{sink=\"cloud\",endpoint=\"https://example.com\",state=\"closed\"} 1",
        "outstation_endpoint_breaker{sink=\"cloud\",endpoint=\"https://example.com\",state=\"open\"} 0",
        "outstation_breaker_transitions_total{sink=\"cloud\",endpoint=\"https://example.com\",to=\"open\",cause=\"server_busy\"} 0",
        "outstation_sink_budget_bytes{sink=\"cloud\"} 1000",
        "outstation_sink_budget_spent_bytes{sink=\"cloud\"} 300",
        "outstation_sink_budget_forecast_bytes{sink=\"cloud\"} 1200",
        "outstation_sink_held_back{sink=\"cloud\",reason=\"budget_spent\"} 0",
        "outstation_actor_restarts_total{actor=\"log\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let faults = |reason: &str, count: u64| {
        let line =
            format!("outstation_port_faults_total{{port=\"mcu\",reason=\"{reason}\"}} {count}");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    };
    faults("crc", 1);
    faults("cobs", 0);
    assert!(!page.contains("outstation_sink_last_delivery_age_seconds"), "never is not an age");
}

#[tokio::test]
async fn nothing_is_said_of_what_was_ever_lost_before_the_log_is_open() {
    let (site, metrics) = (site(), Metrics::default());
    let opened = site.log.send_replace(LogStatus::default());
    let page = metrics.render(&site.board.snapshot());
    assert!(!page.contains("outstation_readings_lost_total"), "{page}");
    assert!(page.contains("outstation_log_accepting 0"), "{page}");
    site.log.send_replace(opened);
    let page = metrics.render(&site.board.snapshot());
    assert!(page.contains("outstation_readings_lost_total{reason=\"overflow\"} 2"), "{page}");
}

#[tokio::test]
async fn exactly_one_breaker_state_is_1_and_follows_the_breaker() {
    let (site, metrics) = (site(), Metrics::default());
    let (until, attempt, cause) = (Duration::ZERO, 0, Cause::LinkDown);
    for state in [
        BreakerState::Closed { failures: 0 },
        BreakerState::Open { until, attempt, cause },
        BreakerState::HalfOpen { probing: true, attempt, cause },
        BreakerState::Closed { failures: 1 },
    ] {
        site.sink.send_modify(|sink| sink.breaker = state);
        let page = metrics.render(&site.board.snapshot());
        let mut lines =
            page.lines().filter(|line| line.starts_with("outstation_sink_breaker_state{"));
        let is =
            format!("outstation_sink_breaker_state{{sink=\"cloud\",state=\"{}\"}} 1", state.name());
        assert_eq!(lines.clone().filter(|line| line.ends_with(" 1")).count(), 1);
        assert!(lines.any(|line| line == is), "{is} is not in\n{page}");
        let caused = "outstation_sink_breaker_cause{sink=\"cloud\",cause=\"link_down\"} 1";
        assert_eq!(page.contains(caused), state.cause().is_some());
    }
}

#[tokio::test]
async fn what_a_reload_removed_or_began_anew_leaves_nothing_behind() {
    let (site, metrics) = (site(), Metrics::default());
    with_local_recorder(&metrics.counts, || {
        counter!(metric::SINK_FOUND, "sink" => "cloud").increment(7);
    });
    let mut now = site.board.snapshot();
    let found = "outstation_sink_found_readings_total{sink=\"cloud\"} 7\n";
    assert!(metrics.render(&now).contains(found), "{}", metrics.render(&now));
    now.ports[0].last_reading_ms = None;
    now.ports[0].intake.frames = 1;
    let page = metrics.render(&now);
    assert!(!page.contains("outstation_port_last_reading_age_seconds{"), "{page}");
    assert!(page.contains("outstation_port_frames_total{port=\"mcu\"} 1\n"), "{page}");
    now.ports.clear();
    now.sinks.clear();
    let page = metrics.render(&now);
    assert!(!page.contains("port=\"") && !page.contains("sink=\""), "{page}");
}

#[tokio::test]
async fn two_pages_have_one_order() {
    let site = site();
    let names = |page: &str| -> Vec<String> {
        let lines = page.lines().filter(|line| line.starts_with("outstation"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let (first, second) = (names(&page(&site)), names(&page(&site)));
    assert_eq!(first, second);
    assert!(first.contains(&"outstation_port_faults_total{port=\"mcu\",reason=\"crc\"}".into()));
}

#[tokio::test]
async fn a_crash_is_counted_by_its_event() {
    let (site, metrics) = (site(), Metrics::default());
    // Which of the recorders belongs to the process depends on which test ran first.
    with_local_recorder(&metrics.counts, || {
        ActorCrashed { actor: "log", cause: "panicked", restart_in: None }.report();
    });
    let page = metrics.render(&site.board.snapshot());
    assert!(page.contains("outstation_actor_restarts_total{actor=\"log\"} 1\n"), "{page}");
}

#[tokio::test]
async fn a_breaker_s_moves_are_counted_by_where_to_and_why() {
    let (site, metrics) = (site(), Metrics::default());
    let (until, attempt, cause) = (Duration::ZERO, 0, Cause::Misconfigured);
    with_local_recorder(&metrics.counts, || {
        for to in
            [BreakerState::Open { until, attempt, cause }, BreakerState::Closed { failures: 0 }]
        {
            let moved = BreakerMoved {
                sink: "cloud",
                endpoint: "https://example.com/v1/readings",
                label: "https://example.com",
                from: &BreakerState::Closed { failures: 0 },
                to: &to,
                retry_in: None,
                spared: false,
                detail: "",
            };
            moved.count();
        }
    });
    let page = metrics.render(&site.board.snapshot());
    let of = "outstation_breaker_transitions_total{sink=\"cloud\",endpoint=\"https://example.com\"";
    for (to, count) in [
        ("to=\"open\",cause=\"misconfigured\"", 1),
        ("to=\"closed\",cause=\"\"", 1),
        ("to=\"open\",cause=\"link_down\"", 0),
    ] {
        assert!(page.contains(&format!("{of},{to}}} {count}\n")), "{to} is not in\n{page}");
    }
}
