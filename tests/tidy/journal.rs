//! What the journal shows: said as listed, explained in the catalog, documented.

use std::collections::BTreeSet;

use outstation::telemetry::events::message_ids;

use crate::{assert_none, sources, text};

/// One place in the code that says something: the id, the level and the fields.
#[derive(Debug)]
pub(crate) struct Saying {
    place: String,
    pub(crate) name: String,
    /// The message, with an ellipsis for what is filled in.
    pub(crate) text: Option<String>,
    level: &'static str,
    fields: BTreeSet<String>,
}

/// Every macro call that has a message id.
pub(crate) fn sayings() -> Vec<Saying> {
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
                    text: message(&text[at + head.len()..]),
                    place: path.clone(),
                    name: id.trim_start_matches("message_ids::").to_owned(),
                    level,
                    fields: arguments.iter().filter(named).map(name).collect(),
                });
            }
        }
    }
    found
}

/// The message of such a call: the first text that is an argument by itself.
fn message(call: &str) -> Option<String> {
    let mut depth = 0;
    let mut is_first = true;
    let start = call.char_indices().find_map(|(at, char)| {
        let is_message = char == '"' && depth == 0 && is_first;
        is_first = char == ',' && depth == 0 || char.is_whitespace() && is_first;
        depth += i32::from("([{".contains(char)) - i32::from(")]}".contains(char));
        (is_message || depth < 0).then_some((at, is_message))
    });
    let (start, _) = start.filter(|(_, is_message)| *is_message)?;
    let text = call[start + 1..].split_once('"')?.0;
    // A line that goes on in the next one, without its indentation.
    let lines: Vec<&str> = text.split("\\\n").map(str::trim_start).collect();
    let mut plain = String::new();
    for (at, part) in lines.concat().split(['{', '}']).enumerate() {
        plain.push_str(if at % 2 == 0 { part } else { "…" });
    }
    Some(plain)
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
    let others = ["MESSAGES_DROPPED", "FAILED"];
    let sayings = sayings();
    let mut found = Vec::new();
    for kind in message_ids::ALL.iter().filter(|kind| !others.contains(&kind.name)) {
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
        if !message_ids::ALL.iter().any(|kind| kind.name == saying.name) {
            found.push(format!("{} says `{}`", saying.place, saying.name));
        }
    }
    let ids: BTreeSet<_> = message_ids::ALL.iter().map(|kind| kind.message_id).collect();
    assert_eq!(ids.len(), message_ids::ALL.len(), "an id means one thing");
    assert_none(
        &found,
        "`telemetry/events/message_ids.rs` lists what is said, and with which fields",
    );
}

/// The entries of the catalog: message id and text.
pub(crate) fn catalog() -> Vec<(String, String)> {
    let text = text("systemd/outstation.catalog");
    let entries = text.split("\n-- ").skip(1).filter_map(|entry| entry.split_once('\n'));
    entries.map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_catalog_explains_everything_that_is_said() {
    let (catalog, sayings) = (catalog(), sayings());
    let mut found = Vec::new();
    for kind in message_ids::ALL {
        let entries = catalog.iter().filter(|(id, _)| id == kind.message_id).count();
        if entries != 1 {
            found.push(format!("{} ({}) has {entries} entries", kind.name, kind.message_id));
        }
    }
    for (id, text) in &catalog {
        let Some(kind) = message_ids::ALL.iter().find(|kind| kind.message_id == id) else {
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
fn every_field_of_the_journal_has_a_meaning() {
    let fields = message_ids::ALL.iter().flat_map(|kind| kind.fields);
    let others = ["REPEATS", "LATE_S"].map(str::to_owned);
    let names: BTreeSet<_> = fields.map(|field| field.to_uppercase()).chain(others).collect();
    let listed: BTreeSet<_> =
        message_ids::FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, listed, "`FIELDS` explains what messages have, and nothing else");
}
