//! The architecture as a test: rules that no compiler holds, each with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use outstation::telemetry::kinds;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder for each optional sink.
const SINKS: [&str; 3] = ["src/sink_mqtt", "src/sink_nats", "src/sink_prometheus"];

/// Every Rust file below a folder: (path relative to the repository, text).
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((relative(&path), fs::read_to_string(&path).expect("readable")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "`{folder}` has sources");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(ROOT).expect("inside the repository").display().to_string()
}

/// Code without comments, as far as words are concerned.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// The files outside `allowed` whose code contains one of `words`.
fn offenders(folder: &str, words: &[&str], allowed: &[&str]) -> Vec<String> {
    let is_allowed = |path: &str| allowed.iter().any(|prefix| path.starts_with(prefix));
    let mut found = Vec::new();
    for (path, text) in sources(folder).into_iter().filter(|(path, _)| !is_allowed(path)) {
        for word in words {
            if code(&text).any(|line| line.contains(word)) {
                found.push(format!("{path} says `{word}`"));
            }
        }
    }
    found
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn the_domain_is_pure() {
    let words = [
        "tokio",
        "tracing",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "SystemTime",
        "Instant",
        "async ",
        ".await",
        "rusqlite",
        "hyper",
        "crate::ingest",
        "crate::event_log",
        "crate::upload",
        "crate::sink_",
        "crate::clock",
        "crate::telemetry",
        "crate::config",
        "crate::supervisor",
    ];
    assert_none(
        &offenders("src/domain", &words, &[]),
        "`domain` decides; it neither waits, logs nor touches anything",
    );
}

#[test]
fn each_device_is_known_in_one_place() {
    let rules: [(&[&str], &[&str], &str); 7] = [
        (
            &["rusqlite"],
            &[
                "src/event_log/sqlite.rs",
                "src/event_log/queries.rs",
                "src/event_log/copies.rs",
                "src/event_log/inspect.rs",
                "src/event_log/schema.rs",
                "src/event_log/journal.rs",
                "src/event_log/meter.rs",
                "src/event_log/carve/tests.rs",
                "src/event_log/tests/",
                "src/event_log/error.rs",
                "src/event_log/tests.rs",
                "src/collect/",
            ],
            "SQL belongs to `event_log/`'s storage files, and the receiver has a database of its own",
        ),
        (
            &["tokio_serial"],
            &["src/ingest/serial.rs"],
            "the serial crate belongs to `ingest/serial.rs`",
        ),
        (
            &["client::legacy"],
            &["src/upload/http_client.rs", "src/upload/http_wire.rs"],
            "the HTTP client belongs to `upload/http_client.rs`, its connections to `http_wire.rs`",
        ),
        (
            &["rustls::"],
            &[
                "src/credentials/tls.rs",
                "src/upload/tls",
                "src/upload/http_client.rs",
                "src/collect/tests",
            ],
            "TLS belongs to `credentials/tls.rs`, its failures to `upload/tls.rs`; the HTTP client puts it between its layers",
        ),
        (
            &["rumqttc"],
            &["src/sink_mqtt/packet.rs"],
            "MQTT's packets belong to `sink_mqtt/packet.rs`",
        ),
        (
            &["sd_notify"],
            &["src/supervisor/notify.rs"],
            "systemd belongs to `supervisor/notify.rs`",
        ),
        (
            &["tracing_subscriber"],
            &["src/telemetry/", "src/config/filter.rs"],
            "where logs go belongs to `telemetry`",
        ),
    ];
    for (words, allowed, rule) in rules {
        assert_none(&offenders("src", words, allowed), rule);
    }
}

#[test]
fn the_local_network_is_known_in_one_place() {
    let rule = "multicast DNS belongs to `discovery/mdns.rs`";
    assert_none(&offenders("src", &["mdns_sd"], &["src/discovery/mdns.rs"]), rule);
}

#[test]
fn time_is_read_by_the_clock_alone() {
    let words = ["SystemTime::now", "std::time::Instant", "clock_gettime", "random/boot_id"];
    assert_none(&offenders("src", &words, &["src/clock.rs"]), "only `clock.rs` reads clocks");
}

#[test]
fn ingest_and_upload_do_not_know_each_other() {
    let upload = ["crate::upload", "crate::sink_"];
    assert_none(&offenders("src/ingest", &upload, &[]), "ingest only knows the log");
    assert_none(&offenders("src/upload", &["crate::ingest"], &[]), "upload only knows the log");
    for sink in SINKS {
        assert_none(&offenders(sink, &["crate::ingest"], &[]), "a sink only knows its batch");
    }
    let wide = ["crate::ingest", "crate::upload", "crate::sink_", "crate::http", "crate::app"];
    assert_none(&offenders("src/event_log", &wide, &[]), "the log knows neither end");
    assert_none(&offenders("src/supervisor", &wide, &[]), "the supervisor knows no actor");
}

#[test]
fn a_sink_is_known_to_the_table_of_sinks_alone() {
    let folders = sources("src").into_iter().filter_map(|(path, _)| {
        let (folder, _) = path.strip_prefix("src/")?.split_once('/')?;
        folder.starts_with("sink_").then(|| format!("src/{folder}"))
    });
    let folders: BTreeSet<String> = folders.collect();
    assert!(folders.iter().eq(SINKS), "every sink is held to the rules: {folders:?}");
    for sink in SINKS {
        let (_, name) = sink.split_once('/').expect("a folder");
        assert_none(
            &offenders("src", &[&format!("crate::{name}")], &["src/upload/sinks.rs", sink]),
            "whoever uses one sink goes by `upload/sinks.rs`",
        );
    }
}

#[test]
fn handlers_never_wait_for_an_actor() {
    let words = ["Appender", "Reader", "LogHandle", "mpsc::", "oneshot::"];
    assert_none(
        &offenders("src/http", &words, &[]),
        "a scrape reads watched status, never a mailbox",
    );
}

#[test]
fn no_queue_is_unbounded_and_the_process_ends_in_main() {
    let words = ["unbounded_channel", "process::exit", "process::abort"];
    assert_none(
        &offenders("src", &words, &[]),
        "queues have a bound, and `main` alone ends the process",
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = ["src", "wire/src", "tests"].into_iter().flat_map(sources);
    let silent: Vec<String> =
        files.filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert_none(&silent, "a file opens with what it is for");
}

#[test]
fn folders_are_two_deep_and_files_are_short() {
    let mut found = Vec::new();
    for (path, text) in sources("src") {
        let depth = path.matches('/').count();
        if depth > 2 && !is_test(&path) {
            found.push(format!("{path} is {depth} deep"));
        }
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > 400 && !is_test(&path) {
            found.push(format!("{path} has {lines} lines"));
        }
    }
    assert_none(&found, "a reader finds any behaviour in two hops, in a file of readable size");
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

#[test]
fn the_unit_file_agrees_with_the_defaults() {
    let unit =
        fs::read_to_string(Path::new(ROOT).join("systemd/outstation.service")).expect("shipped");
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
fn every_metric_is_documented() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("a README");
    let names = outstation::telemetry::metrics::ALL.iter().map(|metric| metric.name);
    let missing: Vec<String> =
        names.filter(|name| !readme.contains(*name)).map(str::to_owned).collect();
    assert_none(&missing, "the README lists every metric");
}

/// One place in the code that says something: the id, the level and the fields.
#[derive(Debug)]
struct Saying {
    place: String,
    name: String,
    level: &'static str,
    fields: BTreeSet<String>,
}

/// Every macro call that has a message id.
fn sayings() -> Vec<Saying> {
    let mut found = Vec::new();
    for (path, text) in sources("src") {
        for level in ["error", "warn", "info", "debug"] {
            for (at, head) in text.match_indices(&format!("{level}!(")) {
                let arguments = arguments(&text[at + head.len()..]);
                let Some(id) = arguments.iter().find_map(|of| of.strip_prefix("message_id = "))
                else {
                    continue;
                };
                let named = |argument: &&String| !argument.starts_with("message_id");
                let name = |argument: &String| {
                    argument.split([' ', '=']).next().unwrap_or_default().to_owned()
                };
                found.push(Saying {
                    place: path.clone(),
                    name: id.trim_start_matches("kinds::").to_owned(),
                    level,
                    fields: arguments.iter().filter(named).map(name).collect(),
                });
            }
        }
    }
    found
}

/// The arguments of a macro before its message.
fn arguments(call: &str) -> Vec<String> {
    let (mut found, mut argument, mut depth) = (Vec::new(), String::new(), 0);
    for char in call.chars() {
        match char {
            '"' if depth == 0 && argument.trim().is_empty() => break,
            ')' if depth == 0 => break,
            ',' if depth == 0 => found.push(std::mem::take(&mut argument).trim().to_owned()),
            _ => {
                depth += i32::from("([{".contains(char)) - i32::from(")]}".contains(char));
                argument.push(char);
            }
        }
    }
    found
}

#[test]
fn what_is_said_has_the_levels_and_fields_that_are_listed() {
    // No events, but what is said of saying and of the end.
    let others = ["RECORDS_UNSAID", "FAILED"];
    let sayings = sayings();
    let mut found = Vec::new();
    for kind in kinds::ALL.iter().filter(|kind| !others.contains(&kind.name)) {
        let here: Vec<_> = sayings.iter().filter(|saying| saying.name == kind.name).collect();
        let fields: BTreeSet<_> = here.iter().flat_map(|saying| &saying.fields).collect();
        let levels: BTreeSet<_> =
            here.iter().map(|saying| saying.level).filter(|level| *level != "debug").collect();
        if !fields.iter().eq(kind.fields.iter().collect::<BTreeSet<_>>().iter()) {
            found.push(format!("{} has {fields:?}, listed are {:?}", kind.name, kind.fields));
        }
        if !levels.iter().eq(kind.levels.iter().collect::<BTreeSet<_>>()) {
            found.push(format!("{} is {levels:?}, listed are {:?}", kind.name, kind.levels));
        }
    }
    for saying in &sayings {
        if !kinds::ALL.iter().any(|kind| kind.name == saying.name) {
            found.push(format!("{} says `{}`", saying.place, saying.name));
        }
    }
    let ids: BTreeSet<_> = kinds::ALL.iter().map(|kind| kind.message_id).collect();
    assert_eq!(ids.len(), kinds::ALL.len(), "an id means one thing");
    assert_none(&found, "`telemetry/kinds.rs` lists what is said, and with which fields");
}

/// The entries of the catalog: message id and text.
fn catalog() -> Vec<(String, String)> {
    let path = Path::new(ROOT).join("systemd/outstation.catalog");
    let text = fs::read_to_string(path).expect("a catalog");
    let entries = text.split("\n-- ").skip(1).filter_map(|entry| entry.split_once('\n'));
    entries.map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_catalog_explains_everything_that_is_said() {
    let (catalog, sayings) = (catalog(), sayings());
    let mut found = Vec::new();
    for kind in kinds::ALL {
        let entries = catalog.iter().filter(|(id, _)| id == kind.message_id).count();
        if entries != 1 {
            found.push(format!("{} ({}) has {entries} entries", kind.name, kind.message_id));
        }
    }
    for (id, text) in &catalog {
        let Some(kind) = kinds::ALL.iter().find(|kind| kind.message_id == id) else {
            found.push(format!("nothing says {id}"));
            continue;
        };
        for part in ["Subject: ", "\nDefined-By: outstation\n", "\n\nData: ", "\n\nNext: "] {
            if !text.contains(part) {
                found.push(format!("{} has no `{}`", kind.name, part.trim()));
            }
        }
        if let Some(line) = text.lines().find(|line| line.chars().count() > 80) {
            found.push(format!("{} is too wide for a terminal: {line}", kind.name));
        }
        // A field that is missing would be shown as its own name.
        for field in text.split('@').skip(1).step_by(2).map(str::to_lowercase) {
            let mut here = sayings.iter().filter(|saying| saying.name == kind.name);
            let listed = kind.fields.contains(&field.as_str());
            let always =
                here.all(|saying| saying.level == "debug" || saying.fields.contains(&field));
            if !listed || !always {
                found.push(format!("{} does not always have `{field}`", kind.name));
            }
        }
    }
    assert_none(&found, "`systemd/outstation.catalog` explains what the journal shows");
}

#[test]
fn every_field_of_the_journal_is_documented() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("a README");
    let fields = kinds::ALL.iter().flat_map(|kind| kind.fields);
    let others = ["REPEATS", "LATE_S"].map(str::to_owned);
    let names: BTreeSet<_> = fields.map(|field| field.to_uppercase()).chain(others).collect();
    let listed = |name: &String| readme.contains(&format!("| `{name}` |"));
    let missing: Vec<String> = names.into_iter().filter(|name| !listed(name)).collect();
    assert_none(&missing, "the README lists every field of the journal");
}

/// What ships in `config/`.
fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("config").join(name)).expect("shipped")
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_exist() {
    let rules = shipped("prometheus/rules.yml");
    let records = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let metrics = outstation::telemetry::metrics::ALL.iter().map(|metric| metric.name);
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

/// The tests that the last column of tables names, `path::name` each, row by row.
fn named_tests(file: &str, section: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(ROOT).join(file)).expect("a description");
    let (_, after) = text.split_once(section).expect("its section");
    let section = after.split("\n## ").next().unwrap_or_default();
    let is_head = |line: &str| line.ends_with(" | test |") || line.ends_with(" | shown by |");
    let is_row = |line: &str| line.starts_with("| ") && !line.contains(" | | |") && !is_head(line);
    let rows = section.lines().filter(|line| is_row(line));
    let cells = rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    cells.map(|cell| named(cell.unwrap_or_default())).collect()
}

/// Whether a file has a function of this name below the attribute of a test.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
    lines.iter().enumerate().filter(|(_, line)| line.contains(&head)).any(|(at, _)| {
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(is_test)
    })
}

#[test]
fn each_failure_of_others_has_a_test_of_what_happens_here() {
    let section = "## Failures of others, and the test of what happens here";
    let rows = named_tests("ARCHITECTURE.md", section);
    assert!(rows.len() > 20, "the table is read: {} rows", rows.len());
    assert_none(&unshown(&rows, |_| false), "what is claimed of failures is shown by a test");
}

#[test]
fn each_claim_of_security_has_a_test_or_a_line_of_the_unit() {
    let unit = fs::read_to_string(Path::new(ROOT).join("systemd/outstation.service"));
    let unit = unit.expect("shipped");
    let rows = named_tests("SECURITY.md", "## Who can reach what");
    assert!(rows.len() > 15, "the tables are read: {} rows", rows.len());
    let in_unit = |claim: &str| unit.lines().any(|line| line == claim);
    assert_none(&unshown(&rows, in_unit), "what is claimed of security is shown");
}

/// What is named in these rows and is neither a test nor otherwise there.
fn unshown(rows: &[Vec<String>], otherwise: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (row, claims) in rows.iter().enumerate() {
        if claims.is_empty() {
            found.push(format!("row {} names nothing that shows it", row + 1));
        }
        for claim in claims.iter().filter(|claim| !otherwise(claim)) {
            let there = claim.rsplit_once("::").is_some_and(|(path, name)| {
                let text = fs::read_to_string(Path::new(ROOT).join(path));
                text.is_ok_and(|text| has_test(&text, name))
            });
            if !there {
                found.push(format!("there is no `{claim}`"));
            }
        }
    }
    found
}

#[test]
fn the_changelog_names_this_version() {
    let changelog = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}
