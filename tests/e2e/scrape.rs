//! The daemon as a real Prometheus sees it: the rules, alerts and dashboard that ship, and targets that
//! are found on a real network.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::kit::certificates::{authority, issue};
use crate::kit::collector::Collector;
use crate::kit::line::Line;
use crate::kit::need::installed;
use crate::kit::network::{Machine, has};
use crate::kit::process::Process;
use crate::kit::program::PROGRAM;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port};
use crate::kit::tsdb::Tsdb;
use crate::kit::wait::eventually;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).expect("shipped")
}

/// Runs promtool where the rules are; says so loudly where there is none.
fn promtool(args: &[&str]) -> Option<Output> {
    let there = installed("promtool", "prometheus");
    let mut command = Command::new("promtool");
    command.args(args).current_dir(shipped("prometheus"));
    there.then(|| command.output().expect("run promtool"))
}

fn assert_passes(args: &[&str]) {
    let Some(output) = promtool(args) else { return };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {args:?}: {said}");
}

#[test]
fn promtool_accepts_what_ships_and_every_alert_speaks_when_it_should() {
    assert_passes(&["check", "rules", "rules.yml", "alerts.yml"]);
    assert_passes(&["check", "config", "prometheus.yml"]);
    assert_passes(&["test", "rules", "tests.yml"]);
}

/// Of a list, one line each.
struct Lines(Vec<String>);

impl Display for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// The sample configuration, in a hurry, with the rules where they are.
fn hurried(text: &str) -> String {
    let rules = |name| format!("- {}", shipped(&format!("prometheus/{name}")).display());
    text.replace("_interval: 15s", "_interval: 1s")
        .replace("- rules.yml", &rules("rules.yml"))
        .replace("- alerts.yml", &rules("alerts.yml"))
}

fn sinks(here: &str, away: &str) -> String {
    let sink = |name, address| {
        format!(
            "[[sink]]\nname = \"{name}\"\nkind = \"http\"\nurl = \"http://{address}/v1/readings\"\n\
             timeout = \"500ms\"\nretries = 0\n"
        )
    };
    sink("here", here) + &sink("away", away)
}

/// Speaks until Prometheus has seen the counters move; what is no reading too.
fn speak(line: &mut Line, tsdb: &Tsdb) {
    let mut next = 0..10;
    let moved = || {
        line.send(json_lines(next.clone()) + "garbage\n");
        next = next.end..next.end + 10;
        tsdb.series("rate(outstation_port_readings_total[1m]) > 0").len()
    };
    eventually("Prometheus has seen readings come", moved, |series| *series > 0);
}

/// Every query of the dashboard, by its panel.
fn queries(instance: &str) -> Vec<(String, String)> {
    let board: Value = serde_json::from_str(&text("grafana/outstation.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels").iter();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default().into_iter();
        targets.map(move |target| (title.clone(), target["expr"].as_str().expect("a query").into()))
    };
    let filled = |(title, query): (String, String)| {
        let query = query.replace("$instance", instance).replace("$__rate_interval", "1m");
        assert!(
            !query.contains('$'),
            "{title} has a variable that this test does not know: {query}"
        );
        (title, query)
    };
    panels.flat_map(of).map(filled).collect()
}

#[test]
fn a_real_prometheus_evaluates_every_rule_and_answers_every_query_of_the_dashboard() {
    let site = Site::new();
    let mut line = site.plug("text");
    let here = Collector::start(&site);
    let away = Collector::start(&Site::new()).away();
    let daemon = site.start(&(json_port(&line) + &sinks(&here.address, &away)));
    let list = format!(
        "static_configs: [{{targets: [\"{}\"], labels: {{device: pump-7}}}}]",
        daemon.address
    );
    let files = "file_sd_configs:\n      - files: [targets/*.json]";
    let sample = text("prometheus/prometheus.yml");
    assert!(sample.contains(files), "{sample}");
    let Some(tsdb) = Tsdb::scraping(&hurried(&sample.replace(files, &list))) else { return };
    speak(&mut line, &tsdb);

    let rules = || -> Vec<Value> {
        let data = tsdb.ask("/api/v1/rules");
        let groups = data["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    };
    let ill = |rule: &Value| (rule["health"] != "ok").then(|| rule.to_string());
    let ill = || Lines(rules().iter().filter_map(ill).collect());
    eventually("every rule is evaluated without an error", ill, |ill| ill.0.is_empty());

    let recording = |rule: &Value| {
        (rule["type"] == "recording").then(|| rule["name"].as_str().expect("a name").to_owned())
    };
    let records: Vec<String> = rules().iter().filter_map(recording).collect();
    assert!(records.len() >= 7, "{records:?}");
    let silent =
        || Lines(records.iter().filter(|name| tsdb.series(name).is_empty()).cloned().collect());
    eventually("every recording rule gives data", silent, |silent| silent.0.is_empty());

    let queries = queries("pump-7");
    assert!(queries.len() > 30, "{} queries", queries.len());
    let empty = |(title, query): &(String, String)| {
        tsdb.series(query).is_empty().then(|| format!("{title}: {query}"))
    };
    let unanswered = || Lines(queries.iter().filter_map(empty).collect());
    eventually("every query gives data", unanswered, |unanswered| unanswered.0.is_empty());

    // The alert for the sink that is away does not fire yet.
    let pending = "ALERTS{alertname=\"OutstationBreakerOpen\",instance=\"pump-7\",sink=\"away\"}";
    eventually("the alert is pending", || tsdb.series(pending).len(), |count| *count == 1);
    let open = "outstation_sink_breaker_state{sink=\"here\",state=\"closed\"} == 1";
    assert_eq!(tsdb.series(open).len(), 1, "the other sink is well");
    daemon.stop();
}

#[test]
fn a_board_found_by_multicast_is_scraped_and_stays_a_target_when_it_is_gone() {
    if !has("ip", "iproute2") || !has("nsenter", "util-linux") || promtool(&["--version"]).is_none()
    {
        return;
    }
    let (machine, board) = Machine::with_board();
    let site = Site::listening("0.0.0.0:9437");
    let line = site.plug("text");
    let daemon = board.starts(&site, &format!("announce = true\n{}", json_port(&line)));

    let targets = site.path("targets");
    std::fs::create_dir(&targets).expect("make a folder");
    let file = targets.join("outstations.json");
    let name = file.display().to_string();
    let discover = || machine.run(&[PROGRAM, "discover", "--wait", "2s", "--file-sd", &name]);
    let listed = || String::from_utf8(discover().stdout).expect("text");
    let table = eventually("it is found", listed, |table| table.contains("site"));
    assert!(table.contains("http://10.77.0.1:9437/metrics"), "{table}");
    assert!(table.contains(env!("CARGO_PKG_VERSION")), "{table}");

    let sample = hurried(&text("prometheus/prometheus.yml"));
    let config = site.write("prometheus.yml", &sample).display().to_string();
    let checked = machine.run(&["promtool", "check", "config", &config]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let data = site.path("data").display().to_string();
    let options = [format!("--config.file={config}"), format!("--storage.tsdb.path={data}")];
    let mut command = machine.command(&["prometheus", "--web.listen-address=127.0.0.1:9090"]);
    let command = command.args(options).stdout(Stdio::null()).stderr(Stdio::null());
    let _prometheus = Process::start(command);
    let query = |expression: &str| {
        let output =
            machine.run(&["promtool", "query", "instant", "http://127.0.0.1:9090", expression]);
        String::from_utf8(output.stdout).expect("text")
    };
    let up = || query("up{job=\"outstation\",instance=\"site\",device=\"site\"}");
    eventually("it is scraped by its name", up, |said| said.contains("=> 1 @"));

    daemon.stop();
    eventually("Prometheus misses it", up, |said| said.contains("=> 0 @"));
    let gone = || {
        let output = discover();
        assert!(output.status.success(), "that nobody answers is an answer");
        String::from_utf8(output.stderr).expect("text")
    };
    let said = eventually("it took its announcement back", gone, |said| !said.is_empty());
    assert!(said.contains("no outstation answered within 2s"), "{said}");
    let kept = std::fs::read_to_string(&file).expect("targets");
    assert!(kept.contains("10.77.0.1:9437"), "{kept}");
    assert!(up().contains("=> 0 @"), "it is missed on");
}

#[test]
fn a_board_that_begins_to_encrypt_is_listed_so() {
    if !has("ip", "iproute2") || !has("nsenter", "util-linux") {
        return;
    }
    let (machine, board) = Machine::with_board();
    let site = Site::listening("0.0.0.0:9437");
    let daemon = board.starts(&site, "announce = true\n");
    let listed = || {
        let output = machine.run(&[PROGRAM, "discover", "--wait", "2s", "--file-sd", "-"]);
        String::from_utf8(output.stdout).expect("text")
    };
    let plain = eventually("it is found", listed, |targets| targets.contains("10.77.0.1:9437"));
    assert!(!plain.contains("__scheme__"), "{plain}");
    let [certificate, key] = issue(&site, &authority(), "localhost", 2000, "http");
    let keys = format!("announce = true\ncert_file = {certificate:?}\nkey_file = {key:?}\n");
    site.reload(&daemon, &keys);
    let encrypted = "\"__scheme__\": \"https\"";
    eventually("it is found encrypted", listed, |targets| targets.contains(encrypted));
    daemon.stop();
}

#[test]
fn without_a_network_the_file_of_targets_is_left_as_it_is() {
    if !has("ip", "iproute2") {
        return;
    }
    let site = Site::new();
    let text = "[{\"targets\":[\"10.77.0.1:9437\"]}]";
    let file = site.write("targets.json", text);
    let name = file.display().to_string();
    let alone = ["-U", "-r", "-n", PROGRAM, "discover", "--wait", "100ms", "--file-sd", &name];
    let output = Command::new("unshare").args(alone).output().expect("run it");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("this machine has no network to ask on"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("targets"), text);
}
