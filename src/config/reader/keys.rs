//! Every key there is: where it stands, its default, and what it means in one line.
//!
//! Each section, protocol and kind of sink lists its own beside its reader. Put together they are the
//! catalogue: whatever is not in it is refused, with the nearest of it as advice.

/// `default` is as written in TOML, `required`, or in words what holds without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// `log.path`; for the keys of a list such as `[[port]]`, `port.baud`.
    pub path: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
}

/// In groups, which several sections may share.
pub(crate) type Keys = &'static [&'static [Key]];

pub(crate) const fn key(path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { path, default, meaning }
}

impl Key {
    /// `baud`, of `port.baud`.
    pub(crate) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }
}

/// The keys of a whole configuration, each once.
#[derive(Debug)]
pub(in crate::config) struct Catalogue(Vec<Key>);

impl Catalogue {
    /// Of a key that several groups have, the first holds.
    pub(in crate::config) fn of(groups: impl IntoIterator<Item = &'static [Key]>) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        for key in groups.into_iter().flatten() {
            if keys.iter().all(|known| known.path != key.path) {
                keys.push(*key);
            }
        }
        Self(keys)
    }

    pub(in crate::config) fn keys(&self) -> &[Key] {
        &self.0
    }

    /// The keys of a section such as `log` or `port[1]`; those of the root are the sections.
    pub(in crate::config) fn of_section(&self, section: &str) -> Vec<&'static str> {
        let list = section.split('[').next().unwrap_or(section);
        if !list.is_empty() {
            let own = self.0.iter().filter(|key| key.section() == list);
            return own.map(Key::name).collect();
        }
        let mut sections: Vec<&'static str> = Vec::new();
        for section in self.0.iter().map(Key::section) {
            if !sections.contains(&section) {
                sections.push(section);
            }
        }
        sections
    }

    pub(in crate::config) fn has(&self, section: &str, key: &str) -> bool {
        self.of_section(section).contains(&key)
    }

    /// What was probably meant: a similar key here, else the same key elsewhere, else what there is.
    pub(in crate::config) fn advice(&self, section: &str, unknown: &str) -> String {
        let own = self.of_section(section);
        let mut same = self.0.iter().filter(|key| key.name() == unknown).map(|key| key.path);
        // A `name` is in several sections, so it tells nothing about which was meant.
        let elsewhere = same.next().filter(|_| same.next().is_none());
        match nearest(own.iter().copied(), unknown).or(elsewhere) {
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

/// Levenshtein: how many letters to insert, drop or change.
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
