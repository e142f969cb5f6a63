//! A storage medium that remembers which writes it was told to keep: what a power cut leaves of the
//! rest is anybody's guess, and guessed here.
//!
//! A sector of 512 bytes is written whole or not at all. Which sectors of the writes since a file's
//! last sync survive, in which order they went out, how much of the file's growth, and which names
//! of the folder since its last sync: any combination.

use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::trace::What;

const SECTOR: usize = 512;

/// How much of what was not synced is there after the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Model {
    /// Everything; so a killed process leaves it, too.
    All,
    /// Nothing of any file; of the folder, all or nothing.
    Synced { names: bool },
    /// This seed's choice.
    Some(u64),
}

/// Which file it was, so that it can be known again, and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rebuilt {
    pub(crate) file: usize,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Image = BTreeMap<String, Rebuilt>;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Rc<[u8]> },
    Resize(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What a cut cannot take.
    durable: Vec<u8>,
    /// What the running system sees.
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Naming {
    Create(String, usize),
    Rename(String, String),
    Unlink(String),
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Medium {
    files: Vec<File>,
    durable: Names,
    current: Names,
    pending: Vec<Naming>,
}

impl Medium {
    /// All of this is safely there.
    pub(crate) fn holding(image: &Image) -> Self {
        let mut medium = Self::default();
        let count = image.values().map(|rebuilt| rebuilt.file + 1).max().unwrap_or(0);
        medium.files.resize(count, File::default());
        for (name, Rebuilt { file, bytes }) in image {
            medium.files[*file].durable.clone_from(bytes);
            medium.files[*file].current.clone_from(bytes);
            medium.durable.insert(name.clone(), *file);
        }
        medium.current.clone_from(&medium.durable);
        medium
    }

    pub(crate) fn apply(&mut self, what: &What) {
        match what {
            What::Create(name) => {
                self.files.push(File::default());
                self.rename(Naming::Create(name.clone(), self.files.len() - 1));
            }
            What::Rename { from, to } => self.rename(Naming::Rename(from.clone(), to.clone())),
            What::Unlink(name) => self.rename(Naming::Unlink(name.clone())),
            What::SyncFolder => {
                self.durable.clone_from(&self.current);
                self.pending.clear();
            }
            What::Write { name, offset, bytes } => {
                self.change(name, Change::Write { offset: *offset, bytes: Rc::clone(bytes) });
            }
            What::Resize { name, length } => self.change(name, Change::Resize(*length)),
            What::Sync(name) => {
                if let Some(file) = self.current.get(name) {
                    self.files[*file].sync();
                }
            }
            What::Said(_) => {}
        }
    }

    fn rename(&mut self, naming: Naming) {
        apply_name(&mut self.current, &naming);
        self.pending.push(naming);
    }

    fn change(&mut self, name: &str, change: Change) {
        // A file without a name is nobody's after the cut.
        let Some(file) = self.current.get(name) else { return };
        let file = &mut self.files[*file];
        apply_change(&mut file.current, &change);
        file.pending.push(change);
    }

    /// What is there after a cut now.
    pub(crate) fn image(&self, model: Model) -> Image {
        let mut rng = Rng::with_seed(if let Model::Some(seed) = model { seed } else { 0 });
        let names = match model {
            Model::All | Model::Synced { names: true } => self.current.clone(),
            Model::Synced { names: false } => self.durable.clone(),
            Model::Some(_) => {
                let mut names = self.durable.clone();
                for naming in &self.pending {
                    if rng.bool() {
                        apply_name(&mut names, naming);
                    }
                }
                names
            }
        };
        let content = |file: &File, rng: &mut Rng| match model {
            Model::All => file.current.clone(),
            Model::Synced { .. } => file.durable.clone(),
            Model::Some(_) => file.guess(rng),
        };
        names
            .into_iter()
            .map(|(name, file)| {
                let bytes = content(&self.files[file], &mut rng);
                (name, Rebuilt { file, bytes })
            })
            .collect()
    }
}

impl File {
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply_change(&mut self.durable, &change);
        }
    }

    /// What may be there: most of it, little of it, or half of it, with and without its length.
    fn guess(&self, rng: &mut Rng) -> Vec<u8> {
        if self.pending.is_empty() {
            return self.durable.clone();
        }
        let kept = *rng.choice(&[0.1, 0.5, 0.9, 1.0]).unwrap_or(&0.5);
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Resize(_) if rng.f64() < kept => apply_change(&mut bytes, change),
                Change::Resize(_) => {}
                Change::Write { offset, bytes: written } => {
                    for (at, part) in sectors(*offset, written) {
                        if rng.f64() < kept {
                            overwrite(&mut bytes, at, part);
                        }
                    }
                }
            }
        }
        // The length may be on the medium before what it covers.
        if rng.bool() && bytes.len() < self.current.len() {
            bytes.resize(self.current.len(), 0);
        }
        bytes
    }
}

/// The first part of a write, up to its `count`-th sector boundary; none if it has fewer.
pub(crate) fn torn(what: &What, count: usize) -> Option<What> {
    let What::Write { name, offset, bytes } = what else { return None };
    let (end, _) = sectors(*offset, bytes).nth(count)?;
    let bytes = bytes[..end - offset].into();
    (count > 0).then_some(What::Write { name: name.clone(), offset: *offset, bytes })
}

/// The parts of a write by the sectors they fall into.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let room = SECTOR - (offset + start) % SECTOR;
        at = (start + room).min(bytes.len());
        (start < at).then(|| (offset + start, &bytes[start..at]))
    })
}

fn apply_change(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes: written } => overwrite(bytes, *offset, written),
        Change::Resize(length) => bytes.resize(*length, 0),
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    let end = at + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(part);
}

fn apply_name(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Create(name, file) => drop(names.insert(name.clone(), *file)),
        Naming::Unlink(name) => drop(names.remove(name)),
        Naming::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

#[test]
fn a_cut_takes_what_was_not_synced_and_nothing_else() {
    let mut medium = Medium::default();
    let name = || "log.db".to_owned();
    let write = |offset, bytes: &[u8]| What::Write { name: name(), offset, bytes: bytes.into() };
    medium.apply(&What::Create(name()));
    assert!(medium.image(Model::Synced { names: false }).is_empty());
    medium.apply(&What::SyncFolder);
    medium.apply(&write(0, &[1; 600]));
    medium.apply(&What::Sync(name()));
    let last = write(500, &[2; 600]);
    medium.apply(&last);
    let bytes = |model| medium.image(model)["log.db"].bytes.clone();
    assert_eq!(bytes(Model::Synced { names: true }), [1; 600]);
    assert_eq!(bytes(Model::All), [vec![1; 500], vec![2; 600]].concat());
    let guesses: std::collections::BTreeSet<_> =
        (0..200).map(|seed| bytes(Model::Some(seed))).collect();
    assert!(guesses.len() > 8, "three sectors, and the length");
    assert!(guesses.iter().all(|bytes| bytes[..500] == [1; 500]));
    assert!(torn(&last, 0).is_none() && torn(&last, 3).is_none());
    assert_eq!(torn(&last, 1), Some(write(500, &[2; 12])));
    assert_eq!(torn(&last, 2), Some(write(500, &[2; 524])));
}
