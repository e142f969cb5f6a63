//! A typed reader over one TOML table which reports mistakes instead of stopping at the first.
//!
//! serde's derive would be shorter, but it gives up at the first error, and a technician on a mast
//! wants to climb once.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Variant, Variants};
use super::source::Source;
use super::syntax::{either, found};

/// One table, its path (`port[1]`; the root's is empty) and the byte at which it starts.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    source: &'a Source<'a>,
    table: Option<&'a DeTable<'a>>,
    path: String,
    at_byte: usize,
}

impl<'a> Section<'a> {
    pub(in crate::config) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, table: Some(table), path: String::new(), at_byte: 0 }
    }

    /// `[name]`; one that is absent reads as empty.
    pub(in crate::config) fn child(&self, name: &'static str) -> Self {
        let value = self.get(name);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.report(name, format!("found {}; allowed: one [{name}]", found(value.get_ref())));
        }
        let section = self.section(name.to_owned(), table, value);
        section.refuse_unknown_keys();
        section
    }

    /// Every `[[name]]`. Which keys each may have is for the caller to check.
    pub(in crate::config) fn children(&self, name: &'static str) -> Vec<Self> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let found = found(value.get_ref());
            self.report(name, format!("found {found}; allowed: [[{name}]], in double brackets"));
            return Vec::new();
        };
        let child = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| {
            let path = format!("{name}[{index}]");
            let table = value.get_ref().as_table();
            if table.is_none() {
                let message = format!("found {}; allowed: [[{name}]]", found(value.get_ref()));
                self.source.report(value.span().start, path.clone(), message);
            }
            table.map(|table| self.section(path, Some(table), Some(value)))
        };
        array.iter().enumerate().filter_map(child).collect()
    }

    /// The value of a key that some table of this section has.
    pub(crate) fn value(&self, key: &str) -> Option<&'a DeValue<'a>> {
        debug_assert!(self.source.keys().has(&self.path, key), "{key} is in no table");
        Some(self.get(key)?.get_ref())
    }

    /// Reports the keys that are present although only other variants than `chosen` have them.
    pub(in crate::config) fn refuse_keys_of_others(&self, variants: &Variants, chosen: &str) {
        let Variants { chosen_by, variants } = variants;
        let having = |name: &str| {
            let has = |variant: &&Variant| variant.keys.iter().any(|key| key.name == name);
            variants.iter().filter(has).map(|variant| variant.name).collect::<Vec<_>>()
        };
        for name in self.names() {
            let having = having(name);
            if having.is_empty() || having.contains(&chosen) {
                continue;
            }
            let having: Vec<_> = having.iter().map(|name| format!("{name:?}")).collect();
            let allowed = format!("only with {chosen_by} = {}", either(&having));
            let message = format!("does not apply to {chosen_by} = {chosen:?}; allowed: {allowed}");
            self.report(name, message);
        }
    }

    pub(in crate::config) fn refuse_unknown_keys(&self) {
        for (key, _) in self.table.into_iter().flatten() {
            let (at_byte, key) = (key.span().start, key.get_ref().as_ref());
            if !self.source.keys().has(&self.path, key) {
                let advice = self.source.keys().advice(&self.path, key);
                self.source.report(at_byte, self.key_path(key), format!("unknown key; {advice}"));
            }
        }
    }

    /// Reports at the key if it is present, at the head of the section if not.
    pub(crate) fn report(&self, key: &str, message: String) {
        let at_byte = self.get(key).map_or(self.at_byte, |value| value.span().start);
        self.source.report(at_byte, self.key_path(key), message);
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The names of its keys, known or not.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.table.into_iter().flatten().map(|(name, _)| name.get_ref().as_ref())
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.get_ref().as_str()
    }

    pub(in crate::config) fn path(&self) -> &str {
        &self.path
    }

    fn section(
        &self,
        path: String,
        table: Option<&'a DeTable<'a>>,
        value: Option<&'a Spanned<DeValue<'a>>>,
    ) -> Self {
        let at_byte = value.map_or(0, |value| value.span().start);
        Self { source: self.source, table, path, at_byte }
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    /// A key comes from the text and can hold anything: what is not plain is shown quoted.
    fn key_path(&self, key: &str) -> String {
        let mut path = self.path.clone();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let dot = if path.is_empty() { "" } else { "." };
        let _ = match key.chars().all(plain) && !key.is_empty() {
            true => write!(path, "{dot}{key}"),
            false => write!(path, "{dot}{key:?}"),
        };
        path
    }
}
