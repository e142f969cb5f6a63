//! The architecture as a test: rules that no compiler holds, each with its reason.

use std::fs;
use std::path::Path;

mod circles;
mod claims;
mod generated;
mod graph;
mod journal;
mod layers;
mod links;
mod names;
mod recipes;
mod shipped;
mod vocabulary;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every Rust file below a folder: (path relative to the repository, text).
fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder, "rs")
}

/// Every file below a folder whose name has this extension: (path relative to the repository, text).
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push((relative(&path), fs::read_to_string(&path).expect("readable")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "`{folder}` has files in .{extension}");
    found
}

/// What a file of the repository says.
fn text(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
