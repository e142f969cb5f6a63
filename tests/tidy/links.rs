//! The documents: links lead to a file and a heading, the book has every page, and the first pages are
//! short.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{ROOT, assert_none, files, text};

/// Documents outside of `docs/`.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "codec/README.md",
    "wire/README.md",
];
/// The pages of the book, and their order.
const SUMMARY: &str = "docs/SUMMARY.md";
/// What is read first, and may have so many lines: a reader takes it in at one sitting.
const SHORT: [&str; 2] = ["README.md", "docs/develop/code-map.md"];
const LINES_MAX: usize = 150;

/// Every document: (path relative to the repository, text).
fn documents() -> Vec<(String, String)> {
    let named = DOCUMENTS.iter().map(|path| ((*path).to_owned(), text(path)));
    let mut found: Vec<(String, String)> = named.chain(files("docs", "md")).collect();
    found.sort();
    found
}

/// The lines that are not in a block of code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            found.push(line);
        }
    }
    found
}

/// Where the links of a document lead.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let outside_code: Vec<&str> = line.split('`').step_by(2).collect();
        for link in outside_code.join("`").split("](").skip(1) {
            found.push(link.split([')', ' ']).next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let (first, mut repeats) = (anchor(title), 0);
        let mut anchor = first.clone();
        while !found.insert(anchor) {
            repeats += 1;
            anchor = format!("{first}-{repeats}");
        }
    }
    found
}

/// Lower case, without punctuation, a hyphen for each blank.
fn anchor(title: &str) -> String {
    let lower = title.trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The path that a link of the document `from` leads to.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// What is wrong with a link of the document `from`.
fn fault(from: &str, link: &str) -> Option<&'static str> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let to = if path.is_empty() { from.to_owned() } else { resolved(from, path) };
    if from.starts_with("docs/") && !to.starts_with("docs/") {
        return Some("leaves docs/, and the book with it: write the path as code");
    }
    let file = Path::new(ROOT).join(&to);
    if !file.exists() {
        return Some("leads to no file");
    }
    if anchor.is_empty() {
        return None;
    }
    let has_anchor = fs::read_to_string(&file).is_ok_and(|text| anchors(&text).contains(anchor));
    (!has_anchor).then_some("leads to no heading")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut found, mut count) = (Vec::new(), 0);
    for (path, text) in documents() {
        for link in links(&text) {
            count += 1;
            found.extend(fault(&path, &link).map(|fault| format!("{path}: `{link}` {fault}")));
        }
    }
    assert!(count > 200, "the links are found: {count}");
    assert_none(&found, "a link leads to what is there");
}

#[test]
fn the_book_has_every_page_of_the_documents() {
    let summary = links(&text(SUMMARY));
    let listed: BTreeSet<String> = summary.iter().map(|link| resolved(SUMMARY, link)).collect();
    let pages = documents().into_iter().map(|(path, _)| path);
    let pages = pages.filter(|path| path.starts_with("docs/") && path != SUMMARY);
    let missing: Vec<String> = pages.filter(|path| !listed.contains(path)).collect();
    assert_none(&missing, "docs/SUMMARY.md names every page");
}

#[test]
fn what_is_read_first_is_short() {
    let lengths = SHORT.map(|path| (path, text(path).lines().count()));
    let long = lengths.iter().filter(|(_, lines)| *lines > LINES_MAX);
    let long: Vec<String> = long.map(|(path, lines)| format!("{path}: {lines} lines")).collect();
    assert_none(&long, "what is read first has at most 150 lines");
}

#[test]
fn the_page_for_c_has_the_encoder_that_is_tested() {
    let sample = text("wire/examples/sample.c");
    let (_, after) = sample.split_once("#include <stddef.h>").expect("its first line");
    let (encoder, _) = after.split_once("/* --- what your firmware does").expect("its end");
    let page = text("docs/firmware/c.md");
    assert!(page.contains(encoder.trim_end()), "docs/firmware/c.md has wire/examples/sample.c");
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text =
        "# The log's file\n\n```sh\n# no heading\n```\n## `a_b`: c, d\n## Again\n## Again\n#no\n";
    let expected = ["the-logs-file", "a_b-c-d", "again", "again-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
}

#[test]
fn links_in_code_are_no_links() {
    let text = "[a](x.md) `[b](y.md)` [`c`](../z.md#d)\n\n  ```\n  [e](f.md)\n  ```\n";
    assert_eq!(links(text), ["x.md", "../z.md#d"]);
    assert_eq!(resolved("docs/fleet/a.md", "../operate/b.md"), "docs/operate/b.md");
}
