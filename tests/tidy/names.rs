//! Names of tests: sentences, each of one line.

use crate::{assert_none, sources};

/// A longer name promises two things, or tells how instead of what.
const NAME_MAX: usize = 80;
/// Of rustfmt.
const LINE_MAX: usize = 100;

/// The line of a function, and its name.
fn function(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| word == "async");
    is_head.then(|| (line, after.split('(').next().unwrap_or_default()))
}

/// The functions that have the attribute of a test.
fn tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_test = |line: &str| {
        let line = line.trim_start();
        line == "#[test]" || line.starts_with("#[tokio::test")
    };
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        lines.find(|line| is_test(line))?;
        lines.find_map(function)
    })
}

#[test]
fn the_name_of_a_test_takes_one_line() {
    let (mut found, mut count) = (Vec::new(), 0);
    for (path, text) in ["src", "wire", "tests"].into_iter().flat_map(sources) {
        for (line, name) in tests(&text) {
            count += 1;
            if name.len() > NAME_MAX || line.chars().count() > LINE_MAX {
                found.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(count > 800, "the tests are found: {count}");
    assert_none(&found, "a test has a name of 80 characters at most, on a line of 100");
}
