//! What ships beside the program agrees with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::{assert_none, text};

#[test]
fn the_unit_file_agrees_with_the_defaults() {
    let unit = text("systemd/outstation.service");
    let log = outstation::config::Config::default().log.path;
    assert_eq!(log, PathBuf::from("/var/lib/outstation/log.db"));
    assert!(
        unit.lines().any(|line| line == "StateDirectory=outstation"),
        "/var/lib/outstation is made by systemd"
    );
    for line in ["RuntimeDirectory=outstation", "RuntimeDirectoryPreserve=yes"] {
        assert!(unit.lines().any(|of| of == line), "`{line}`: the crash tail outlives a restart");
    }
    assert!(
        unit.contains("--config /etc/outstation/outstation.toml"),
        "the path that `run` defaults to"
    );
}

#[test]
fn the_changelog_names_this_version() {
    let changelog = text("CHANGELOG.md");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}

/// What ships in `config/`.
fn shipped(name: &str) -> String {
    text(&format!("config/{name}"))
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_exist() {
    let rules = shipped("prometheus/rules.yml");
    let records = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let metrics = outstation::telemetry::metric_names::ALL.iter().map(|metric| metric.name);
    let known: BTreeSet<&str> = metrics.chain(records).collect();
    let files = ["rules.yml", "alerts.yml", "tests.yml"].map(|name| format!("prometheus/{name}"));
    let mut found = Vec::new();
    for name in files.into_iter().chain(["grafana/outstation.json".to_owned()]) {
        let text = shipped(&name);
        // Comments are no queries.
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words = lines.flat_map(|line| line.split(|c| !is_name(c)));
        let asked = words.filter(|word| {
            ["outstation_", "outstation:", "process_"].iter().any(|own| word.starts_with(own))
        });
        let asked = asked.filter(|word| *word != "outstation:" && !known.contains(word));
        found.extend(asked.map(|word| format!("{name} asks for `{word}`")));
    }
    assert_none(&found, "a query of what does not exist is silent for ever");
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let (alerts, tests) = (shipped("prometheus/alerts.yml"), shipped("prometheus/tests.yml"));
    let mut found = Vec::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or_default();
        for needed in ["severity: ", "summary: ", "description: ", "Next: "] {
            if !alert.contains(needed) {
                found.push(format!("{name} has no `{}`", needed.trim()));
            }
        }
        if !tests.contains(&format!("alertname=\"{name}\""))
            && !tests.contains(&format!("alertname: {name}\n"))
        {
            found.push(format!("{name} is never expected to fire in tests.yml"));
        }
    }
    assert_none(&found, "an alert is of use to whoever reads it at night");
}

/// Where a panel is: its columns and its rows, ends excluded.
fn place(panel: &serde_json::Value) -> [std::ops::Range<u64>; 2] {
    let number = |key: &str| panel["gridPos"][key].as_u64().expect("a position");
    [number("x")..number("x") + number("w"), number("y")..number("y") + number("h")]
}

#[test]
fn the_dashboard_is_one_that_grafana_can_show() {
    let board: serde_json::Value =
        serde_json::from_str(&shipped("grafana/outstation.json")).expect("JSON");
    assert!(board["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    assert!(board["id"].is_null(), "an id belongs to one Grafana");
    let variables = board["templating"]["list"].as_array().expect("variables").iter();
    let variables: BTreeSet<&str> =
        variables.map(|one| one["name"].as_str().expect("a name")).collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "instance"]));
    let panels = board["panels"].as_array().expect("panels");
    let (mut ids, mut found) = (BTreeSet::new(), Vec::new());
    for (at, panel) in panels.iter().enumerate() {
        let title = panel["title"].as_str().expect("a title");
        let [columns, rows] = place(panel);
        if !ids.insert(panel["id"].as_u64().expect("an id")) {
            found.push(format!("`{title}` has the id of another panel"));
        }
        if columns.end > 24 {
            found.push(format!("`{title}` is wider than the grid"));
        }
        for other in &panels[..at] {
            let [its_columns, its_rows] = place(other);
            let meets = |a: &std::ops::Range<u64>, b: &std::ops::Range<u64>| {
                a.start < b.end && b.start < a.end
            };
            if meets(&columns, &its_columns) && meets(&rows, &its_rows) {
                found.push(format!("`{title}` lies on {}", other["title"]));
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().expect("targets");
        let has =
            |key: &str, of: &serde_json::Value| of[key].as_str().is_some_and(|s| !s.is_empty());
        let is_whole = |target| has("expr", target) && has("legendFormat", target);
        if targets.is_empty() || !targets.iter().all(is_whole) || !has("description", panel) {
            found.push(format!("`{title}` lacks a query, a legend or a description"));
        }
        let source = "${datasource}";
        if targets.iter().chain([panel]).any(|one| one["datasource"]["uid"] != source) {
            found.push(format!("`{title}` asks another source than the chosen one"));
        }
    }
    assert_none(&found, "what is imported is shown as it was meant");
}
