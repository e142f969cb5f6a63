//! The recipes of CONTRIBUTING.md are the whole truth for a kind of sink and a protocol that exist.

use std::fs;
use std::path::Path;

use crate::circles::graph;
use crate::{ROOT, assert_none, relative, text};

/// What would be the same without it: examples, documents beside its own page, what is generated from
/// its keys, and what plays or tests many things at once.
const SHOW_NATS: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "config/examples/",
    "config/outstation.",
    "docs/",
    "tests/e2e/everything.rs",
    "tests/tidy/",
];
const SHOW_LINES: &[&str] = &[
    "README.md",
    "benches/",
    "config/outstation.",
    "docs/",
    "src/bench/",
    "src/demo/",
    "tests/board/machine/",
    "tests/golden/",
    "tests/tidy/",
];

/// The first column of a recipe's table, filled in for `name`.
fn recipe(heading: &str, name: &str) -> Vec<String> {
    let contributing = text("CONTRIBUTING.md");
    let (_, section) = contributing.split_once(&format!("\n## {heading}\n")).expect("its section");
    let rows = section.split("\n## ").next().unwrap_or_default().lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    cells.map(|cell| cell.replace("<kind>", name).replace("<name>", name)).collect()
}

/// Every text file of the repository that a person writes.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && ![".git", "target", "corpus", "artifacts"].contains(&name) {
                folders.push(path);
            } else if let (true, Ok(text)) = (path.is_file(), fs::read_to_string(&path)) {
                found.push((relative(&path), text));
            }
        }
    }
    found
}

fn is_named(word: &str, text: &str) -> bool {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|found| found == word)
}

/// What is wrong with a recipe: at most six files, each of which is there and knows the new part.
fn faults(
    recipe: &[String],
    files: &[(String, String)],
    knows: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    if !(1..=6).contains(&recipe.len()) {
        found.push(format!("{} files, not one to six", recipe.len()));
    }
    let is_there =
        |path: &String| files.iter().any(|(file, text)| file.starts_with(path) && knows(text));
    let missing = recipe.iter().filter(|path| !is_there(path));
    found.extend(missing.map(|path| format!("`{path}` is not there, or does not know it")));
    found
}

/// Who uses files of `folder` from outside, except the file that has the row.
fn strangers(folder: &str, row: &str) -> Vec<String> {
    let inside = |path: &str| path.starts_with(folder);
    let entering = graph().edges.iter().filter(|edge| inside(&edge.to) && !inside(&edge.from));
    entering.filter(|edge| edge.from != row).map(ToString::to_string).collect()
}

/// Who knows it besides the files of the recipe and those that show it.
fn others(
    recipe: &[String],
    show: &[&str],
    files: &[(String, String)],
    knows: impl Fn(&str) -> bool,
) -> Vec<String> {
    let listed: Vec<&str> = recipe.iter().map(String::as_str).chain(show.iter().copied()).collect();
    let is_listed = |file: &str| listed.iter().any(|path| file.starts_with(path));
    let knowing = files.iter().filter(|(file, text)| !is_listed(file) && knows(text));
    knowing.map(|(file, _)| format!("`{file}` knows it and is not in the recipe")).collect()
}

#[test]
fn the_recipe_of_a_sink_names_every_file_that_knows_nats() {
    let (recipe, files) = (recipe("A new kind of sink", "nats"), files());
    let mut found = faults(&recipe, &files, |text| is_named("nats", text));
    found.extend(strangers("src/sinks/nats/", "src/sinks/mod.rs"));
    found.extend(others(&recipe, SHOW_NATS, &files, |text| is_named("nats", text)));
    assert_none(&found, "CONTRIBUTING.md, A new kind of sink, is all that a kind consists of");
}

#[test]
fn the_recipe_of_a_protocol_names_every_file_that_knows_the_keys_of_lines() {
    let (recipe, files) = (recipe("A new protocol on a serial line", "lines"), files());
    let mut found = faults(&recipe, &files, |text| is_named("lines", text));
    found.extend(strangers("src/protocols/lines/", "src/protocols/mod.rs"));
    found.extend(others(&recipe, SHOW_LINES, &files, |text| text.contains("sequence_key")));
    assert_none(&found, "CONTRIBUTING.md, A new protocol …, is all that a protocol consists of");
}
