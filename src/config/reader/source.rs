//! The text of a configuration: reading it within a bound, its syntax, and where in it a byte stands.
//! What the keys mean is left to the sections.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::de::{DeTable, Error};

use super::error::Problem;
use super::keys::Catalogue;

/// Two hundred ports with every key and comment are about 200 KiB. More is another file, or a device.
const BYTES_MAX: u64 = 1 << 20;

/// A text, the keys it may have, and the mistakes found in it so far.
///
/// The list is behind a `RefCell` so that all sections of a text can report into it.
#[derive(Debug)]
pub(in crate::config) struct Source<'a> {
    text: &'a str,
    keys: &'a Catalogue,
    problems: RefCell<Vec<Problem>>,
}

pub(in crate::config) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let bytes = file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    match u64::try_from(bytes) {
        Ok(..=BYTES_MAX) => Ok(text),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")),
    }
}

impl<'a> Source<'a> {
    pub(in crate::config) fn new(text: &'a str, keys: &'a Catalogue) -> Self {
        Self { text, keys, problems: RefCell::default() }
    }

    /// Every key that the text may have.
    pub(in crate::config) fn keys(&self) -> &Catalogue {
        self.keys
    }

    /// The tables of the text, unless its syntax is broken: what a broken text means is a guess.
    pub(in crate::config) fn table(&self) -> Option<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        errors.iter().for_each(|error| self.report_syntax(error));
        errors.is_empty().then(|| table.into_inner())
    }

    pub(in crate::config) fn report(&self, at_byte: usize, key: String, message: String) {
        let (line, _) = self.place(at_byte);
        self.problems.borrow_mut().push(Problem { line, key, message });
    }

    /// The mistakes in the order of the text, as a person goes through it.
    pub(in crate::config) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    /// One problem per line: the parser goes on after a mistake, and its next ones are echoes of it.
    fn report_syntax(&self, error: &Error) {
        let at_byte = error.span().map_or(0, |span| span.start);
        let (line, column) = self.place(at_byte);
        let what = match self.bare_word(at_byte) {
            Some(word) => format!("text needs quotes: {word:?}"),
            None => error.message().to_owned(),
        };
        let mut problems = self.problems.borrow_mut();
        if problems.iter().all(|known| known.line != line) {
            let message = format!("column {column}: not TOML: {what}");
            problems.push(Problem { line, key: String::new(), message });
        }
    }

    /// A word that stands alone behind `=` at this byte: a text without its quotes.
    fn bare_word(&self, at_byte: usize) -> Option<&str> {
        let before = self.text.get(..at_byte)?.trim_end_matches(' ');
        let line = self.text.get(at_byte..)?.lines().next()?.trim_end();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
        let is_word = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        (before.ends_with('=') && is_word && line.chars().all(plain)).then_some(line)
    }

    /// Line and column, from one; the column counts characters, as editors do.
    fn place(&self, at_byte: usize) -> (usize, usize) {
        let before = self.text.get(..at_byte).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
