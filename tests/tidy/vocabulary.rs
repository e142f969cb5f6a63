//! One vocabulary: one type of a name, and the field's own words instead of private ones.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Ident, ItemEnum, ItemMod, ItemStruct, ItemTrait, ItemType, ItemUnion, Meta,
    Visibility,
};

use crate::{assert_none, sources};

/// Types that may share a name, and why.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Announcement", "`discovery/mdns` has it with the feature `mdns` and without"),
    ("Browser", "`discovery/mdns` has it with the feature `mdns` and without"),
    ("MdnsError", "`discovery/mdns` has it with the feature `mdns` and without"),
];

/// Words that no identifier, no comment and no file has, and what to say instead.
const PRIVATE_WORDS: &[(&str, &str)] = &[
    ("weather", "transient"),
    ("untold", "pending"),
    ("unsaid", "dropped"),
    ("carved", "decoded, recovered"),
    ("sighting", "found row"),
    ("pulse", "heartbeat"),
];

/// Words that no identifier has, because they are English only in sentences.
const PRIVATE_PARTS: &[(&str, &str)] =
    &[("wish", "command, request"), ("owed", "pending"), ("voice", "log writer")];

/// Identifiers that are no more, and what to say instead.
const PRIVATE_NAMES: &[(&str, &str)] = &[
    ("Again", "BoundedRetry"),
    ("Begun", "leftovers"),
    ("Doubt", "InDoubt"),
    ("Due", "pending"),
    ("Effort", "ScanDepth"),
    ("News", "what it reports"),
    ("Owed", "PendingLanes"),
    ("Place", "what is there"),
    ("Remains", "DamagedLogReader, TailReplay, TailCleanup"),
    ("Rounds", "Liveness"),
    ("Standing", "SinkState"),
    ("Told", "published"),
    ("carry_on", "continue_order"),
    ("go_on", "resume"),
    ("look_around", "on_tick"),
    ("settle", "what it does"),
];

/// This list itself.
const UNTOUCHED: &[&str] = &["tests/tidy/vocabulary.rs"];

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("/test_")
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().split(' ').any(|of| of == "test")
        }
        _ => false,
    })
}

/// The types of a file that are visible outside their module.
#[derive(Default)]
struct Types(Vec<String>);

impl Types {
    fn of(text: &str) -> Vec<String> {
        let mut types = Self::default();
        types.visit_file(&syn::parse_file(text).expect("it compiles"));
        types.0
    }

    fn note(&mut self, visibility: &Visibility, name: &Ident) {
        if !matches!(visibility, Visibility::Inherited) {
            self.0.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.note(&item.vis, &item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.note(&item.vis, &item.ident);
    }

    fn visit_item_union(&mut self, item: &'ast ItemUnion) {
        self.note(&item.vis, &item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.note(&item.vis, &item.ident);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.note(&item.vis, &item.ident);
    }
}

#[test]
fn a_name_stands_for_one_type() {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !is_test_file(path)) {
        for name in Types::of(&text) {
            homes.entry(name).or_default().push(path.clone());
        }
    }
    assert!(homes.len() > 400, "the types are found: {}", homes.len());
    homes.retain(|_, files| files.len() > 1);
    let is_shared = |name: &str| SHARED_NAMES.iter().any(|(shared, _)| *shared == name);
    let twice = homes.iter().filter(|(name, _)| !is_shared(name));
    let mut found: Vec<String> =
        twice.map(|(name, files)| format!("`{name}` in {}", files.join(", "))).collect();
    let once = SHARED_NAMES.iter().filter(|(name, _)| !homes.contains_key(*name));
    found.extend(once.map(|(name, _)| format!("`{name}` is not shared any more: take it off")));
    assert_none(&found, "two types that others see have two names; qualify the rarer one");
}

/// Every identifier of a file, also those in macros.
fn identifiers(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => drop(into.insert(ident.to_string())),
            TokenTree::Group(group) => identifiers(group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The words that an identifier is made of: of `SinkState` and of `sink_state` they are the same.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for char in identifier.chars() {
        let begins = char == '_' || (char.is_uppercase() && before.is_lowercase());
        if begins {
            words.push(String::new());
        }
        if char != '_' {
            words.last_mut().expect("there is one").extend(char.to_lowercase());
        }
        before = char;
    }
    words
}

/// The words of the comments of a file.
fn commented(text: &str) -> BTreeSet<String> {
    let comments = text.lines().filter_map(|line| line.split_once("//"));
    let words = comments.flat_map(|(_, comment)| comment.split(|c: char| !c.is_alphanumeric()));
    words.map(str::to_lowercase).collect()
}

/// The private words of a file, each with what to say instead.
fn private(path: &str, text: &str) -> Vec<(&'static str, &'static str)> {
    let mut names = BTreeSet::new();
    identifiers(text.parse().expect("it compiles"), &mut names);
    let parts: BTreeSet<String> = names.iter().flat_map(|name| words(name)).collect();
    let comments = commented(text);
    let path: BTreeSet<String> =
        path.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    let in_words = |word: &str| [&parts, &comments, &path].iter().any(|of| of.contains(word));
    let mut found: Vec<_> =
        PRIVATE_WORDS.iter().filter(|(word, _)| in_words(word)).copied().collect();
    found.extend(PRIVATE_PARTS.iter().filter(|(word, _)| parts.contains(*word)));
    found.extend(PRIVATE_NAMES.iter().filter(|(word, _)| names.contains(*word)));
    found
}

#[test]
fn the_words_are_those_of_the_field() {
    let files = ["src", "codec", "wire", "tests"].into_iter().flat_map(sources);
    let is_untouched = |path: &str| UNTOUCHED.iter().any(|of| path.starts_with(of));
    let mut found = Vec::new();
    for (path, text) in files.filter(|(path, _)| !is_untouched(path)) {
        let private = private(&path, &text).into_iter();
        found.extend(private.map(|(word, instead)| format!("{path}: `{word}`; say {instead}")));
    }
    assert_none(&found, "a reader who knows the field needs no glossary");
}

#[test]
fn private_words_are_found_where_they_stand_and_nowhere_else() {
    let found = |text| private("src/a.rs", text).into_iter().map(|(word, _)| word).collect();
    let none: Vec<&str> =
        found("// Due to the standing order it goes on again, best-effort.\nfn a() {}");
    assert_eq!(none, Vec::<&str>::new());
    let some: Vec<&str> =
        found("struct Again;\nfn settle() { m!(is_untold) } // Weather.\nenum LogVoice {}");
    assert_eq!(some, ["weather", "untold", "voice", "Again", "settle"]);
    assert_eq!(private("src/carved.rs", "fn a() {}").len(), 1, "a name of a file");
    assert_eq!(words("SinkStateOf_x"), ["sink", "state", "of", "x"]);
}
