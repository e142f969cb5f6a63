//! Documents that come from tables in the code are as the code makes them.
//!
//! `OUTSTATION_WRITE=1 cargo test --test tidy generated` writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use outstation::config::reference;
use outstation::telemetry::events::message_ids;
use outstation::telemetry::metric_names::{self, MetricKind};

use crate::ROOT;
use crate::journal::{catalog, sayings};

const WRITE: &str = "OUTSTATION_WRITE";
const MADE: &str = "by `OUTSTATION_WRITE=1 cargo test --test tidy generated`. -->\n\n";

fn assert_written(path: &str, made: &str) {
    let file = Path::new(ROOT).join(path);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, made).unwrap_or_else(|error| panic!("failed to write {path}: {error}"));
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let differs = found.lines().zip(made.lines()).position(|(found, made)| found != made);
    let line = differs.unwrap_or(found.lines().count().min(made.lines().count())) + 1;
    assert!(
        found == made,
        "{path} is not what the code makes, from line {line} on; to write it: {WRITE}=1 cargo test --test \
         tidy generated"
    );
}

#[test]
fn the_shipped_configuration_is_made_from_the_tables_of_keys() {
    assert_written("config/outstation.toml", &reference::shipped_file());
}

#[test]
fn the_reference_of_the_configuration_is_made_from_the_tables_of_keys() {
    assert_written("docs/operate/configuration.md", &reference::reference_page());
}

#[test]
fn the_reference_of_the_metrics_is_made_from_their_table() {
    let mut page = format!(
        "# Metrics\n\n<!-- Made from `src/telemetry/metric_names.rs` {MADE}\
         The local port answers `/metrics` in Prometheus' text format. What a port or a sink counts starts\n\
         with the process; what is said of readings holds over the whole life of the log. Ages are given and\n\
         not timestamps, because the clock of a board may be wrong.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n"
    );
    for metric in metric_names::ALL {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let labels = quoted(metric.labels.iter().copied());
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    assert_written("docs/fleet/metrics.md", &page);
}

#[test]
fn the_reference_of_the_journal_is_made_from_the_table_of_messages() {
    let mut page = format!(
        "# Journal reference\n\n<!-- Made from `src/telemetry/events/message_ids.rs` {MADE}\
         Every message has a `MESSAGE_ID` that never changes its meaning, and fields that never change their\n\
         name. `journalctl MESSAGE_ID=…` finds one kind of message, `journalctl -o json-pretty` shows the fields.\n\
         WARN means that nothing was lost; ERROR that something was, or that a person is needed.\n\
         What to do about each is on the page [Messages](../operate/messages.md).\n\n\
         | message | `MESSAGE_ID` | level | meaning | fields |\n|---|---|---|---|---|\n"
    );
    let catalog = catalog();
    for kind in message_ids::ALL {
        let name = kind.name.to_lowercase();
        let fields: Vec<_> = kind.fields.iter().map(|field| field.to_uppercase()).collect();
        let fields = quoted(fields.iter().map(String::as_str));
        let id = kind.message_id;
        let entry = catalog.iter().find(|(of, _)| of == id).expect("its entry");
        let subject = subject(&entry.1);
        let levels = kind.levels.join(", ");
        let _ = writeln!(page, "| {name} | `{id}` | {levels} | {subject} | {fields} |");
    }
    page.push_str("\n## Fields\n\n| field | meaning |\n|---|---|\n");
    for (name, meaning) in message_ids::FIELDS {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    assert_written("docs/fleet/journal.md", &page);
}

#[test]
fn the_page_of_messages_is_made_from_the_catalog() {
    let mut page = format!(
        "# Messages\n\n<!-- Made from `systemd/outstation.catalog` {MADE}\
         What the daemon says in the journal: what happened, what it means for the data, and what to do next.\n\
         `journalctl -xu outstation` shows the same beside each message.\n"
    );
    for (id, text) in catalog() {
        let (_, body) = text.split_once("\n\n").expect("a head and a body");
        let _ = write!(page, "\n## {}\n", subject(&text));
        let kind = message_ids::ALL.iter().find(|kind| kind.message_id == id).expect("its kind");
        let _ = write!(page, "\n{}, `MESSAGE_ID={id}`\n", kind.levels.join(" or ").to_uppercase());
        for text in texts(kind.name) {
            let _ = write!(page, "\n> {text}\n");
        }
        for paragraph in body.trim().split("\n\n") {
            let _ = write!(page, "\n{}\n", paragraph_of(paragraph));
        }
    }
    assert_written("docs/operate/messages.md", &page);
}

/// The subject of an entry of the catalog, with its fields as code.
fn subject(entry: &str) -> String {
    let subject = entry.lines().find_map(|line| line.strip_prefix("Subject: "));
    subject.expect("a subject").replace('@', "`")
}

/// The messages of one kind, as the code has them: where it fills something in stands an ellipsis.
fn texts(kind: &str) -> BTreeSet<String> {
    let of_kind = sayings().into_iter().filter(|saying| saying.name == kind);
    of_kind.filter_map(|saying| saying.text).collect()
}

/// A paragraph of the catalog as Markdown: indented lines are commands.
fn paragraph_of(text: &str) -> String {
    let mut lines = String::new();
    let mut in_commands = false;
    for line in text.lines() {
        let is_command = line.starts_with("    ");
        if is_command != in_commands {
            lines.push_str(if is_command { "\n```sh\n" } else { "```\n\n" });
        }
        in_commands = is_command;
        let line = match is_command {
            true => line.trim_start().replace('@', ""),
            false => line.replace('@', "`"),
        };
        lines.push_str(&line.replace("Data:", "**Data:**").replace("Next:", "**Next:**"));
        lines.push('\n');
    }
    if in_commands {
        lines.push_str("```\n");
    }
    lines.trim_end().to_owned()
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}
