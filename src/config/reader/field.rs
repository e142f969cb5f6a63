//! What a table says of one key besides its name and its sentence.

use serde_json::Value as Json;
use toml::de::DeValue;

use super::keys::{Condition, Key, Without};
use super::syntax::{Read, Syntax, WriteOption};

/// A key whose value is a `V`: how it is written, what holds without it, and next to which other keys it
/// means anything.
pub(crate) struct Field<V> {
    /// The value before the file is read.
    pub(crate) initial: V,
    pub(super) read: Box<Read<V>>,
    /// Writes a value as TOML; `None` if the key is not set.
    pub(super) write: Box<WriteOption<V>>,
    allowed: String,
    schema: Json,
    without: Without,
    condition: Option<Condition>,
    excludes: &'static [&'static str],
    example: Option<&'static str>,
    restart: bool,
}

/// A key that must be there.
pub(crate) fn required<V: Default + 'static>(syntax: Syntax<V>) -> Field<V> {
    let write = syntax.write;
    let write = Box::new(move |value: &V| Some(write(value)));
    Field::new(V::default(), syntax.read, write, (syntax.allowed, syntax.schema), Without::Required)
}

/// A key with a default.
pub(crate) fn default<V: 'static>(value: V, syntax: Syntax<V>) -> Field<V> {
    let without = Without::Default((syntax.write)(&value));
    let write = syntax.write;
    let write = Box::new(move |value: &V| Some(write(value)));
    Field::new(value, syntax.read, write, (syntax.allowed, syntax.schema), without)
}

/// A key whose default depends on others: `instead` says in words how.
pub(crate) fn derived<V: 'static>(instead: &'static str, value: V, syntax: Syntax<V>) -> Field<V> {
    Field { without: Without::Unset(instead), ..default(value, syntax) }
}

/// A key that need not be set: `instead` says what holds without it.
pub(crate) fn optional<V: 'static>(instead: &'static str, syntax: Syntax<V>) -> Field<Option<V>> {
    let (read, write) = (syntax.read, syntax.write);
    let read = Box::new(move |value: &DeValue<'_>| read(value).map(Some));
    let write = Box::new(move |value: &Option<V>| value.as_ref().map(&write));
    Field::new(None, read, write, (syntax.allowed, syntax.schema), Without::Unset(instead))
}

/// A list or table that is empty unless it is set.
pub(crate) fn collection<V>(instead: &'static str, syntax: Syntax<V>) -> Field<V>
where
    V: Default + PartialEq + 'static,
{
    let write = syntax.write;
    let write = Box::new(move |value: &V| (*value != V::default()).then(|| write(value)));
    let texts = (syntax.allowed, syntax.schema);
    Field::new(V::default(), syntax.read, write, texts, Without::Unset(instead))
}

impl<V> Field<V> {
    fn new(
        initial: V,
        read: Box<Read<V>>,
        write: Box<WriteOption<V>>,
        (allowed, schema): (String, Json),
        without: Without,
    ) -> Self {
        Self {
            initial,
            read,
            write,
            allowed,
            schema,
            without,
            condition: None,
            excludes: &[],
            example: None,
            restart: false,
        }
    }

    /// Makes the key meaningful only next to one of these keys.
    pub(crate) fn only_with(self, keys: &'static [&'static str]) -> Self {
        Self { condition: Some(Condition::With(keys)), ..self }
    }

    /// Makes the key meaningful only where `key` has this value.
    pub(crate) fn only_if(self, key: &'static str, value: &'static str) -> Self {
        Self { condition: Some(Condition::If(key, value)), ..self }
    }

    /// Refuses the key next to any of these keys.
    pub(crate) fn not_with(self, keys: &'static [&'static str]) -> Self {
        Self { excludes: keys, ..self }
    }

    /// Sets the value that the shipped file shows, as TOML, where that is not the default.
    pub(crate) fn example(self, toml: &'static str) -> Self {
        Self { example: Some(toml), ..self }
    }

    /// Refuses a reload that would change the key: only a restart does.
    pub(crate) fn needs_restart(self) -> Self {
        Self { restart: true, ..self }
    }

    /// The key of this name, without its value.
    pub(super) fn key(&self, name: &'static str, about: &'static str) -> Key {
        Key {
            name,
            about,
            allowed: self.allowed.clone(),
            schema: self.schema.clone(),
            without: self.without.clone(),
            condition: self.condition,
            excludes: self.excludes,
            example: self.example,
            restart: self.restart,
        }
    }
}
