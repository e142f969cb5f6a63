//! From a name to the module that defines it, and so from modules to edges.

use std::collections::BTreeSet;
use std::fmt;

use super::source::{Binding, Files, Mention, Path, Root, Sources};

/// One file uses what another defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The path as it is written where it is used.
    pub(crate) name: String,
    pub(crate) line: usize,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} uses `{}` of {}", self.from, self.line, self.name, self.to)
    }
}

/// The files of some crates, without tests, and who uses whom.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) files: BTreeSet<String>,
    /// Once for each name between two files; uses of external crates are left out.
    pub(crate) edges: Vec<Edge>,
}

impl Graph {
    pub(crate) fn read(files: &Files, roots: &[Root]) -> Self {
        let sources = Sources::read(files, roots);
        let files = sources.modules.iter().map(|module| module.file.clone()).collect();
        Self { files, edges: edges(&sources) }
    }
}

fn edges(sources: &Sources) -> Vec<Edge> {
    let mut found = BTreeSet::new();
    for (at, module) in sources.modules.iter().enumerate() {
        let named =
            module.mentions.iter().filter(|mention| !sources.is_imported(at, &mention.path));
        for Mention { path, line } in module.imports.iter().chain(named) {
            for definer in sources.definers(at, path) {
                let (from, to) = (module.file.clone(), sources.modules[definer].file.clone());
                if from != to {
                    found.insert(Edge { from, to, name: path.join("::"), line: *line });
                }
            }
        }
    }
    let mut edges: Vec<Edge> = found.into_iter().collect();
    edges.dedup_by(|next, kept| {
        (&next.from, &next.to, &next.name) == (&kept.from, &kept.to, &kept.name)
    });
    edges
}

/// What a path leads to.
#[derive(Debug, Default)]
struct Found {
    /// The modules that define it; none where it is a module itself.
    definers: BTreeSet<usize>,
    is_there: bool,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.is_there |= other.is_there;
        self.definers.extend(other.definers);
    }
}

impl Binding {
    /// Whether more names may follow this one, `name`. In `mod run; pub use run::run;` they follow the
    /// module, and in `use thing::thing;` the crate.
    fn leads_on(&self, name: &str) -> bool {
        match self {
            Self::Import(target) => target[0] != name,
            Self::Item | Self::Module(_) => true,
        }
    }
}

impl Sources {
    /// Whether an import that is an edge itself brought the first name of a path.
    fn is_imported(&self, at: usize, path: &Path) -> bool {
        let bindings = self.modules[at].names.get(&path[0]).into_iter().flatten();
        bindings.into_iter().any(|binding| match binding {
            Binding::Import(target) => !self.definers(at, target).is_empty(),
            Binding::Item | Binding::Module(_) => false,
        })
    }

    /// The modules that define what a path names, seen from a module.
    fn definers(&self, at: usize, path: &Path) -> BTreeSet<usize> {
        self.resolve(at, path, &mut Vec::new()).definers
    }

    /// `under_way` are the lookups that led here: imports may go in circles.
    fn resolve(&self, at: usize, path: &[String], under_way: &mut Vec<(usize, Path)>) -> Found {
        let step = (at, path.to_owned());
        if under_way.contains(&step) {
            return Found::default();
        }
        under_way.push(step);
        let module = &self.modules[at];
        let found = match path.split_first() {
            None => Found { is_there: true, ..Found::default() },
            Some((first, rest)) => match first.as_str() {
                "crate" => self.inside(module.root, rest, under_way),
                "self" => self.inside(at, rest, under_way),
                "super" => match module.parent {
                    Some(parent) => self.above(parent, rest, under_way),
                    None => Found::default(),
                },
                name => {
                    let found = self.known(at, path, under_way);
                    match self.roots.get(name) {
                        Some(root) if !found.is_there => self.inside(*root, rest, under_way),
                        _ => found,
                    }
                }
            },
        };
        under_way.pop();
        found
    }

    fn above(&self, at: usize, rest: &[String], under_way: &mut Vec<(usize, Path)>) -> Found {
        match rest.first().map(String::as_str) {
            Some("super") => self.resolve(at, rest, under_way),
            _ => self.inside(at, rest, under_way),
        }
    }

    /// In a module of ours. A name that stands nowhere in it was made by a macro of it.
    fn inside(&self, at: usize, path: &[String], under_way: &mut Vec<(usize, Path)>) -> Found {
        if path.is_empty() {
            return Found { is_there: true, ..Found::default() };
        }
        let found = self.known(at, path, under_way);
        if found.is_there {
            return found;
        }
        Found { is_there: true, definers: BTreeSet::from([at]) }
    }

    /// By the names that a module declares, imports, or takes all of from elsewhere.
    fn known(&self, at: usize, path: &[String], under_way: &mut Vec<(usize, Path)>) -> Found {
        let (module, (first, rest)) = (&self.modules[at], path.split_first().expect("a name"));
        let mut found = Found::default();
        let bindings = module.names.get(first).into_iter().flatten();
        for binding in bindings.filter(|binding| rest.is_empty() || binding.leads_on(first)) {
            found.is_there = true;
            match binding {
                Binding::Item => {
                    found.definers.insert(at);
                }
                Binding::Module(below) => found.add(self.inside(*below, rest, under_way)),
                Binding::Import(target) => {
                    let path: Path = target.iter().chain(rest).cloned().collect();
                    found.add(self.resolve(at, &path, under_way));
                }
            }
        }
        if !found.is_there {
            for glob in &module.globs {
                found.add(self.through(at, glob, path, under_way));
            }
        }
        found
    }

    /// By a glob import, if what it names has such a name.
    fn through(
        &self,
        at: usize,
        glob: &[String],
        path: &[String],
        under_way: &mut Vec<(usize, Path)>,
    ) -> Found {
        match self.module_of(at, glob) {
            Some(of) if !under_way.contains(&(of, path.to_owned())) => {
                under_way.push((of, path.to_owned()));
                let found = self.known(of, path, under_way);
                under_way.pop();
                found
            }
            _ => Found::default(),
        }
    }

    /// The module that a path names, if it names one.
    fn module_of(&self, at: usize, path: &[String]) -> Option<usize> {
        let mut here = at;
        for (step, name) in path.iter().enumerate() {
            let module = &self.modules[here];
            here = match name.as_str() {
                "crate" => module.root,
                "self" => here,
                "super" => module.parent?,
                name => {
                    let bindings = module.names.get(name).into_iter().flatten();
                    let known = bindings.into_iter().find_map(|binding| match binding {
                        Binding::Module(below) => Some(*below),
                        Binding::Import(target) if binding.leads_on(name) => {
                            self.module_of(here, target)
                        }
                        _ => None,
                    });
                    known.or_else(|| self.roots.get(name).copied().filter(|_| step == 0))?
                }
            };
        }
        Some(here)
    }
}
