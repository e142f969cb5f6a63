//! Writes the effective configuration as TOML. Each section knows its keys; this knows the syntax.

use std::fmt::Write as _;

/// Writing to a `String` cannot fail, so the results of `write!` are dropped.
#[derive(Debug, Default)]
pub(crate) struct Printer(String);

impl Printer {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Begins a section. `head` is its heading as in the file: `[log]`, or `[[port]]`.
    pub(crate) fn section(&mut self, head: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{head}");
    }

    /// Writes a key whose value is already TOML.
    pub(crate) fn key(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name} = {value}");
    }

    /// Writes a key that is not set as a comment that says what holds instead: TOML has no null.
    pub(crate) fn unset(&mut self, name: &str, instead: &str) {
        let _ = writeln!(self.0, "# {name}: not set, {instead}");
    }
}

/// A TOML string.
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

/// A TOML array of strings.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// A TOML inline table of strings.
pub(crate) fn table<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pair = |(name, value): (&String, &String)| format!("{} = {}", quoted(name), quoted(value));
    let pairs: Vec<_> = pairs.into_iter().map(pair).collect();
    format!("{{ {} }}", pairs.join(", "))
}
