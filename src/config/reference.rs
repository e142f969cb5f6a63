//! The documents that come from the tables of keys: the file that ships, and the reference page.

use std::fmt::Write as _;

use super::reader::keys::{Condition, Example, Key, SectionKeys, Variant, Variants, Without};
use super::reader::print::quoted;
use super::whole::sections;

/// Columns of a comment in the shipped file.
const COLUMNS: usize = 108;

const HEAD: &str = r#"# The configuration of outstation, as shipped: every key, with its default.
#
#   # prose explains the key below it: meaning, unit, what is allowed.
#   #: in front of a line marks an example. Remove these two characters and the space to use it.
#
# Durations are written "500ms", "30s", "5m" or "1h". Nothing else is needed: a file with only the
# keys that differ means the same. `outstation check --config FILE` lists all mistakes at once and
# prints the effective configuration. Editors complete and check it with the schema that
# `outstation check --schema` prints.
#
# The file is read at start and at `systemctl reload outstation` (SIGHUP). A reload ends and begins the
# ports, sinks and the local port whose section changed and leaves everything else as it is. A file with
# a mistake, or with a secret that cannot be read, changes nothing; the journal says why. A reload that
# changes a key marked with "Needs a restart." is refused too.
#
# Secrets go into /etc/outstation/credentials, owned by root, mode 0600. "credential:NAME" names the
# file NAME there, which systemd hands over to the daemon when it starts: restart it after a change.
# A file that is named by its path must be readable for the daemon's own user, which is not root,
# and is read again when it changes.
"#;

/// The text of `config/outstation.toml`.
#[must_use]
pub fn shipped_file() -> String {
    let mut text = HEAD.to_owned();
    for section in sections() {
        match section.repeated {
            false => one_section(&section, &mut text),
            true => examples_of(&section, &mut text),
        }
    }
    text
}

/// A section that is there once: its keys with their defaults.
fn one_section(section: &SectionKeys, text: &mut String) {
    let _ = write!(text, "\n{}[{}]\n", comment(&prose(section.about)), section.name);
    for key in &section.keys {
        text.push_str(&description(key));
        match &key.without {
            Without::Default(value) => line(text, key.name, value, ""),
            _ => line(text, key.name, key.example.unwrap_or_default(), EXAMPLE),
        }
    }
}

const EXAMPLE: &str = "#: ";

fn line(text: &mut String, name: &str, value: &str, mark: &str) {
    let _ = writeln!(text, "{mark}{name} = {value}");
}

/// A section that can be there several times: examples, each key described where it is shown first.
fn examples_of(section: &SectionKeys, text: &mut String) {
    let _ = write!(text, "\n{}", comment(&prose(section.about)));
    let mut writer = Examples { head: section.name, described: Vec::new(), text };
    let mut shown = Vec::new();
    match &section.variants {
        None => writer.write("", section.examples, &section.keys, &mut shown),
        Some(Variants { variants, .. }) => {
            for Variant { about, examples, keys, .. } in variants {
                // Keys of a kind of their own may have names that another kind has too.
                shown.retain(|name| section.keys.iter().any(|key| key.name == *name));
                let (needed, other): (Vec<_>, Vec<_>) = [&section.keys, keys]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .partition(|key| key.without == Without::Required);
                let (common, own): (Vec<_>, Vec<_>) = other
                    .into_iter()
                    .partition(|key| section.keys.iter().any(|common| common.name == key.name));
                writer.write(about, examples, &[needed, own, common].concat(), &mut shown);
            }
        }
    }
}

/// Writes the examples of a section.
struct Examples<'t> {
    head: &'static str,
    /// The sentences that stand in the file already.
    described: Vec<&'static str>,
    text: &'t mut String,
}

impl Examples<'_> {
    fn write(
        &mut self,
        mut about: &str,
        examples: &[Example],
        keys: &[Key],
        shown: &mut Vec<&'static str>,
    ) {
        for example in examples {
            let _ = write!(self.text, "\n{}{EXAMPLE}[[{}]]\n", comment(&prose(about)), self.head);
            about = "";
            for (key, value) in filled_in(example, keys, shown) {
                if !self.described.contains(&key.about) {
                    self.text.push_str(&description(key));
                    self.described.push(key.about);
                }
                line(self.text, key.name, &value, EXAMPLE);
                shown.push(key.name);
            }
        }
    }
}

/// The keys of an example: those it gives, those that must be there, and those that were not shown before,
/// as far as they go with each other.
fn filled_in<'k>(example: Example, keys: &'k [Key], shown: &[&str]) -> Vec<(&'k Key, String)> {
    let given = |name: &str| example.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let value = |key: &Key| match (given(key.name), key.example, &key.without) {
        (Some(value), _, _) | (None, Some(value), _) => Some(value.to_owned()),
        (None, None, Without::Default(value)) => Some(value.clone()),
        (None, None, _) => None,
    };
    let named = |name: &str| keys.iter().find(|key| key.name == name);
    let mut example: Vec<(&Key, String)> = Vec::new();
    for key in keys {
        let excluded = |key: &Key| {
            let excludes = |other: &Key| {
                key.excludes.contains(&other.name) || other.excludes.contains(&key.name)
            };
            let given = keys.iter().filter(|other| given(other.name).is_some());
            given.chain(example.iter().map(|(other, _)| *other)).any(excludes)
        };
        let goes = match key.condition {
            _ if excluded(key) => false,
            None => true,
            Some(Condition::With(others)) => {
                others.iter().any(|other| named(other).is_some_and(|other| !excluded(other)))
            }
            Some(Condition::If(other, needed)) => {
                named(other).and_then(value) == Some(quoted(needed))
            }
        };
        let is_wanted = given(key.name).is_some()
            || key.without == Without::Required
            || !shown.contains(&key.name);
        if let (true, true, Some(value)) = (goes, is_wanted, value(key)) {
            example.push((key, value));
        }
    }
    example
}

/// A key as comment lines: what it is, then what is allowed.
fn description(key: &Key) -> String {
    comment(&prose(key.about)) + &comment(&rules(key))
}

/// The values that are allowed, what holds without the key, and what it goes with.
fn rules(key: &Key) -> String {
    let mut text = format!("Allowed: {}.", key.allowed);
    match &key.without {
        Without::Unset(instead) => {
            let _ = write!(text, " Without it: {instead}.");
        }
        Without::Default(value) if key.example.is_some_and(|example| example != value) => {
            let _ = write!(text, " Default: {value}.");
        }
        Without::Default(_) | Without::Required => {}
    }
    text + &conditions(key)
}

fn conditions(key: &Key) -> String {
    let mut text = String::new();
    if let Some(condition) = key.condition {
        let _ = write!(text, " Only with {}.", in_words(condition));
    }
    if !key.excludes.is_empty() {
        let _ = write!(text, " Not with {}.", key.excludes.join(", "));
    }
    if key.restart {
        text.push_str(" Needs a restart.");
    }
    text
}

fn in_words(condition: Condition) -> String {
    match condition {
        Condition::With(keys) => keys.join(" or "),
        Condition::If(key, value) => format!("{key} = {}", quoted(value)),
    }
}

/// The lines of a doc comment as one text.
fn prose(about: &str) -> String {
    about.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as comment lines.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        match column {
            0 => lines.push_str("# "),
            _ if column + 1 + width > COLUMNS => {
                lines.push_str("\n# ");
                column = 0;
            }
            _ => {
                lines.push(' ');
                column += 1;
            }
        }
        lines.push_str(word);
        column += width;
    }
    if column > 0 {
        lines.push('\n');
    }
    lines
}

/// The text of `docs/operate/configuration.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut text = String::from(
        "# Configuration reference\n\n\
         <!-- Made from the tables of keys by `OUTSTATION_WRITE=1 cargo test --test tidy generated`. -->\n\n\
         Every key of `/etc/outstation/outstation.toml`. Only keys that differ from their default need to be in\n\
         the file. `outstation check` lists every mistake with its line and prints the configuration in effect.\n\
         Durations are written `\"500ms\"`, `\"30s\"`, `\"5m\"` or `\"1h\"`.\n\n\
         An editor that knows TOML completes and checks the file with its JSON Schema:\n\
         `outstation check --schema >outstation.schema.json`, and `#:schema ./outstation.schema.json` as the first\n\
         line of the file.\n",
    );
    for section in sections() {
        let brackets = if section.repeated { ("[[", "]]") } else { ("[", "]") };
        let _ = write!(text, "\n## `{}{}{}`\n", brackets.0, section.name, brackets.1);
        let _ = write!(text, "\n{}\n\n", escaped(&prose(section.about)));
        rows(&section.keys, &mut text);
        for variant in section.variants.iter().flat_map(|variants| &variants.variants) {
            let chosen_by = section.variants.as_ref().map_or("", |variants| variants.chosen_by);
            let _ = write!(text, "\n### `{chosen_by} = \"{}\"`\n", variant.name);
            let _ = write!(text, "\n{}\n", escaped(&prose(variant.about)));
            if !variant.keys.is_empty() {
                text.push('\n');
                rows(&variant.keys, &mut text);
            }
        }
    }
    text
}

fn rows(keys: &[Key], text: &mut String) {
    text.push_str("| key | default | meaning |\n|---|---|---|\n");
    for key in keys {
        let default = match &key.without {
            Without::Required => "required".to_owned(),
            Without::Default(value) => format!("`{value}`"),
            Without::Unset(instead) => escaped(&format!("not set: {instead}")),
        };
        let meaning = format!("{} Allowed: {}.{}", prose(key.about), key.allowed, conditions(key));
        let _ = writeln!(text, "| `{}` | {default} | {} |", key.name, escaped(&meaning));
    }
}

/// A text that stands in a cell of a Markdown table as it is.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}
