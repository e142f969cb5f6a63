//! Writes the effective configuration as TOML. Each section knows its keys; this knows the syntax.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use super::kind::Names;

/// Writing to a `String` cannot fail, so the results of `write!` are dropped.
#[derive(Debug, Default)]
pub(crate) struct Printer(String);

impl Printer {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// `[log]`, or `[[port]]`: as it stands in the file.
    pub(crate) fn section(&mut self, head: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{head}");
    }

    /// A number, or anything else that is written without quotes.
    pub(crate) fn bare(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(crate) fn text(&mut self, key: &str, value: impl Display) {
        self.bare(key, quoted(&value.to_string()));
    }

    pub(crate) fn list(&mut self, key: &str, items: &[String]) {
        let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
        self.bare(key, format!("[{}]", items.join(", ")));
    }

    /// An inline table of texts.
    pub(crate) fn table(&mut self, key: &str, items: &[(String, String)]) {
        let pair =
            |(name, value): &(String, String)| format!("{} = {}", quoted(name), quoted(value));
        let items: Vec<_> = items.iter().map(pair).collect();
        self.bare(key, format!("{{ {} }}", items.join(", ")));
    }

    pub(crate) fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, humantime::format_duration(value));
    }

    pub(crate) fn path(&mut self, key: &str, value: &Path) {
        self.text(key, value.display());
    }

    /// A file that need not be named.
    pub(crate) fn file(&mut self, key: &str, path: Option<&Path>, instead: &str) {
        match path {
            Some(path) => self.path(key, path),
            None => self.unset(key, instead),
        }
    }

    /// TOML has no null: what is not set stands as a comment that says what holds instead.
    pub(crate) fn unset(&mut self, key: &str, instead: &str) {
        let _ = writeln!(self.0, "# {key} is not set: {instead}");
    }

    pub(crate) fn name<T: PartialEq>(&mut self, key: &str, value: &T, names: Names<T>) {
        let name = names.iter().find(|(_, known)| known == value);
        debug_assert!(name.is_some(), "every variant of {key} has a name");
        name.into_iter().for_each(|(name, _)| self.text(key, name));
    }

    pub(crate) fn number<T: PartialEq>(&mut self, key: &str, value: &T, numbers: &[(i64, T)]) {
        let number = numbers.iter().find(|(_, known)| known == value);
        debug_assert!(number.is_some(), "every variant of {key} has a number");
        number.into_iter().for_each(|(number, _)| self.bare(key, number));
    }
}

pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            c if c.is_control() => write!(quoted, "\\u{:04X}", u32::from(c)),
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}
