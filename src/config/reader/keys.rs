//! Every key there is, without its value: what is said of it, and which keys a section has.

use serde_json::Value as Json;

/// A key of a section, as its row states it.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: &'static str,
    /// What the key is, in sentences; line breaks are those of the source.
    pub about: &'static str,
    /// The values that are allowed, as the end of a sentence.
    pub allowed: String,
    /// The JSON Schema of its value.
    pub schema: Json,
    pub without: Without,
    pub condition: Option<Condition>,
    /// Keys that it does not go with.
    pub excludes: &'static [&'static str],
    /// The value that the shipped file shows, as TOML, if that is not the default.
    pub example: Option<&'static str>,
    /// Whether only a restart changes it: a reload that would is refused.
    pub restart: bool,
}

/// What holds if a key is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Without {
    /// A mistake.
    Required,
    /// This value, as TOML.
    Default(String),
    /// This, in words.
    Unset(&'static str),
}

/// The neighbours without which a key means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of these keys.
    With(&'static [&'static str]),
    /// This key with this value.
    If(&'static str, &'static str),
}

impl Key {
    /// Its default as TOML, if it has one.
    pub(crate) fn default_text(&self) -> Option<String> {
        match &self.without {
            Without::Default(text) => Some(text.clone()),
            Without::Required | Without::Unset(_) => None,
        }
    }
}

/// A section and its keys.
#[derive(Clone, Debug)]
pub struct SectionKeys {
    /// As in its heading: `log`.
    pub name: &'static str,
    /// Whether a file can have several of the section, each under `[[name]]`.
    pub repeated: bool,
    pub about: &'static str,
    /// Those that every such section has.
    pub keys: Vec<Key>,
    /// The examples of a section without variants in the shipped file.
    pub examples: &'static [Example],
    pub variants: Option<Variants>,
}

/// The choices of a section whose further keys depend on one of its keys.
#[derive(Clone, Debug)]
pub struct Variants {
    /// The key that chooses: `framing`.
    pub chosen_by: &'static str,
    pub variants: Vec<Variant>,
}

/// One choice.
#[derive(Clone, Debug)]
pub struct Variant {
    /// As it is written: `lines`.
    pub name: &'static str,
    pub about: &'static str,
    pub keys: Vec<Key>,
    /// The examples of it in the shipped file.
    pub examples: &'static [Example],
}

/// Keys and their values as TOML. The shipped file adds to each example the keys that must be there and those
/// that no example before it shows.
pub type Example = &'static [(&'static str, &'static str)];

impl SectionKeys {
    /// Every key that such a section can have, those of each variant included; a name can come twice.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        let variants = self.variants.iter().flat_map(|variants| &variants.variants);
        self.keys.iter().chain(variants.flat_map(|variant| &variant.keys))
    }

    /// The name of each key once.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for key in self.all() {
            if !names.contains(&key.name) {
                names.push(key.name);
            }
        }
        names
    }
}

/// The keys of a whole configuration.
#[derive(Debug)]
pub(in crate::config) struct Catalogue(pub(in crate::config) Vec<SectionKeys>);

impl Catalogue {
    /// The keys of a section such as `log` or `port[1]`; those of the root are the sections.
    fn of_section(&self, section: &str) -> Vec<&'static str> {
        let name = section.split('[').next().unwrap_or(section);
        match self.0.iter().find(|section| section.name == name) {
            Some(section) => section.names(),
            None => self.0.iter().map(|section| section.name).collect(),
        }
    }

    pub(in crate::config) fn has(&self, section: &str, key: &str) -> bool {
        self.of_section(section).contains(&key)
    }

    /// Advice for an unknown key: a similar key of the section, else the same key of another section, else
    /// all keys of the section.
    pub(in crate::config) fn advice(&self, section: &str, unknown: &str) -> String {
        let own = self.of_section(section);
        let mut same = self.0.iter().filter(|section| section.names().contains(&unknown));
        // A key such as `name`, which several sections have, does not tell which section was meant.
        let elsewhere = same.next().filter(|_| same.next().is_none());
        let elsewhere = elsewhere.map(|section| format!("{}.{unknown}", section.name));
        match nearest(own.iter().copied(), unknown).map(str::to_owned).or(elsewhere) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("allowed: {}", own.join(", ")),
        }
    }
}

fn nearest(known: impl Iterator<Item = &'static str>, unknown: &str) -> Option<&'static str> {
    // One slip in three letters is a slip; more is another word. `baudrate` means `baud`.
    let similar = |key: &&str| {
        let (key, near) = (*key, key.len().max(unknown.len()) / 3);
        let begins = unknown.len() > 2 && (key.starts_with(unknown) || unknown.starts_with(key));
        begins || distance(key, unknown) <= near.max(1)
    };
    known.filter(similar).min_by_key(|key| distance(key, unknown))
}

/// The Levenshtein distance: how many letters to insert, drop or change.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, r) in right.chars().enumerate() {
            let change = diagonal + usize::from(l != r);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
