//! What the documents claim is shown by a test, or is a line of the unit.

use std::fs;
use std::path::Path;

use crate::{ROOT, assert_none, text};

/// The tests that the last column of tables names, `path::name` each, row by row.
fn named_tests(file: &str, section: &str) -> Vec<Vec<String>> {
    let text = text(file);
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
    let section = "# Failures of others, and the test of what happens here";
    let rows = named_tests("docs/develop/failures-of-others.md", section);
    assert!(rows.len() > 20, "the table is read: {} rows", rows.len());
    assert_none(&unshown(&rows, |_| false), "what is claimed of failures is shown by a test");
}

#[test]
fn each_claim_of_security_has_a_test_or_a_line_of_the_unit() {
    let unit = text("systemd/outstation.service");
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
