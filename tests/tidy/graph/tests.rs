//! The reader of the graph, on sources made up for it.

use super::{Edge, Files, Graph, Root, circles};

/// The edges between made-up files, as `from -> to: name`; `lib.rs` declares what is named first.
fn read(files: &[(&str, &str)]) -> Vec<String> {
    let short = |file: &str| file.trim_start_matches("src/").to_owned();
    let line = |edge: &Edge| format!("{} -> {}: {}", short(&edge.from), short(&edge.to), edge.name);
    edges_of(files).iter().map(line).collect()
}

/// The files of every circle.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let edges = edges_of(files);
    let names = |group: &std::collections::BTreeSet<&str>| {
        group.iter().map(|file| file.trim_start_matches("src/").to_owned()).collect()
    };
    circles(&edges).iter().map(|(group, _)| names(group)).collect()
}

fn edges_of(files: &[(&str, &str)]) -> Vec<Edge> {
    Graph::read(&made_up(files), &[Root { name: "made_up", file: "src/lib.rs" }]).edges
}

fn made_up(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use super::a::A; pub struct B;"),
    ];
    assert_eq!(read(&files), ["a.rs -> b.rs: crate::b::B", "b.rs -> a.rs: super::a::A"]);
    assert_eq!(circles_of(&files), [["a.rs", "b.rs"]]);
}

#[test]
fn three_files_are_a_circle_and_what_only_leads_to_it_is_not_in_it() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::{c::C, e::E}; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("d.rs", "use crate::a::A;"),
        ("e.rs", "pub struct E;"),
    ];
    assert_eq!(circles_of(&files), [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn a_circle_through_a_re_export_leads_to_the_definition_and_not_to_the_map() {
    let files = [
        ("lib.rs", "mod room; mod b;"),
        ("room/mod.rs", "mod a; pub use a::A as Renamed;"),
        ("room/a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::room::Renamed; pub struct B;"),
    ];
    let expected = [
        "b.rs -> room/a.rs: crate::room::Renamed",
        "room/a.rs -> b.rs: crate::b::B",
        "room/mod.rs -> room/a.rs: a::A",
    ];
    assert_eq!(read(&files), expected);
    assert_eq!(circles_of(&files), [["b.rs", "room/a.rs"]]);
}

#[test]
fn a_map_that_holds_what_its_children_import_is_in_a_circle_with_them() {
    let files = [
        ("lib.rs", "mod room;"),
        ("room/mod.rs", "mod a; pub use a::A; pub struct Shared;"),
        ("room/a.rs", "use super::Shared; pub struct A(Shared);"),
    ];
    assert_eq!(circles_of(&files), [["room/a.rs", "room/mod.rs"]]);
}

#[test]
fn a_function_that_bears_the_name_of_its_module_is_found_in_it() {
    let files = [
        ("lib.rs", "mod room; mod user;"),
        ("room/mod.rs", "mod run; pub use run::run;"),
        ("room/run.rs", "pub fn run() {}"),
        ("user.rs", "use crate::room; fn f() { room::run() }"),
    ];
    let expected = ["room/mod.rs -> room/run.rs: run::run", "user.rs -> room/run.rs: room::run"];
    assert_eq!(read(&files), expected);
}

#[test]
fn a_function_that_bears_the_name_of_its_crate_is_no_module() {
    let files =
        [("lib.rs", "use thing::thing; use thing::thing::*; fn f() { thing::other(thing()) }")];
    assert_eq!(read(&files), NONE);
}

#[test]
fn a_path_that_is_written_out_counts_as_an_import() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub fn f() { crate::b::g(1) }"),
        ("b.rs", "pub fn g(n: u8) { if n > 1 { super::a::f() } }"),
    ];
    assert_eq!(read(&files), ["a.rs -> b.rs: crate::b::g", "b.rs -> a.rs: super::a::f"]);
    assert_eq!(circles_of(&files), [["a.rs", "b.rs"]]);
}

#[test]
fn a_path_inside_a_macro_is_seen() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "fn f() { info!(id = crate::b::ID, value = self.crate_b, \"{}\", crate::b::g(1)) }",
        ),
        ("b.rs", "pub const ID: u8 = 1; pub fn g(_: u8) {}"),
    ];
    assert_eq!(read(&files), ["a.rs -> b.rs: crate::b::ID", "a.rs -> b.rs: crate::b::g"]);
}

#[test]
fn declaring_or_importing_a_module_is_no_edge_but_using_something_of_it_is() {
    let files = [
        ("lib.rs", "mod a; mod b; mod room;"),
        ("a.rs", "use crate::b; use crate::room::{self, deep as d}; fn f() { b::g(); d::h(); }"),
        ("b.rs", "pub fn g() {}"),
        ("room/mod.rs", "pub mod deep;"),
        ("room/deep.rs", "pub fn h() {}"),
    ];
    assert_eq!(read(&files), ["a.rs -> b.rs: b::g", "a.rs -> room/deep.rs: d::h"]);
    assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
}

#[test]
fn what_a_child_takes_from_its_parent_is_an_edge_to_the_parent() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod child; struct Own;"),
        ("a/child.rs", "use super::Own; fn f() -> super::super::a::Own { todo!() }"),
    ];
    let expected = ["a/child.rs -> a.rs: super::Own", "a/child.rs -> a.rs: super::super::a::Own"];
    assert_eq!(read(&files), expected);
}

#[test]
fn a_glob_leads_to_the_definition_of_what_is_used_of_it() {
    let files = [
        ("lib.rs", "mod a; mod room;"),
        ("a.rs", "use crate::room::*; fn f() -> B { unknown() }"),
        ("room/mod.rs", "mod b; mod c; pub use b::*; pub use c::C;"),
        ("room/b.rs", "pub struct B;"),
        ("room/c.rs", "pub struct C;"),
    ];
    assert_eq!(read(&files), ["a.rs -> room/b.rs: B", "room/mod.rs -> room/c.rs: c::C"]);
}

#[test]
fn a_type_leads_to_its_file_by_its_variants_and_functions_too() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::Kind::{self, *}; fn f() -> Kind { crate::b::Kind::default() }"),
        ("b.rs", "pub enum Kind { One }"),
    ];
    let expected = ["a.rs -> b.rs: crate::b::Kind", "a.rs -> b.rs: crate::b::Kind::default"];
    assert_eq!(read(&files), expected);
}

#[test]
fn what_a_macro_makes_belongs_to_the_module_that_calls_it() {
    let files = [
        ("lib.rs", "mod a; mod kinds;"),
        ("a.rs", "use crate::kinds; fn f() -> u8 { kinds::STARTED }"),
        ("kinds.rs", "kinds! { STARTED 1, }"),
    ];
    assert_eq!(read(&files), ["a.rs -> kinds.rs: kinds::STARTED"]);
}

#[test]
fn tests_and_their_imports_are_left_out() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "#[cfg(test)] use crate::b::B;
             #[cfg(test)] mod tests; #[cfg(test)] mod more { use crate::b::B; }
             struct A { #[cfg(test)] b: crate::b::B }
             impl A { #[cfg(test)] fn b() -> crate::b::B { crate::b::B } }
             #[cfg(all(test, feature = \"f\"))] fn c() { crate::b::B }",
        ),
        ("b.rs", "pub struct B;"),
    ];
    assert_eq!(read(&files), NONE);
}

#[test]
fn what_a_feature_or_its_absence_asks_for_counts() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "#[cfg(feature = \"f\")] use crate::b::B; #[cfg(not(test))] fn f() { crate::b::g() }",
        ),
        ("b.rs", "pub struct B; pub fn g() {}"),
    ];
    assert_eq!(read(&files), ["a.rs -> b.rs: crate::b::B", "a.rs -> b.rs: crate::b::g"]);
}

#[test]
fn other_crates_are_no_modules_and_one_of_ours_leads_into_it() {
    let files = made_up(&[
        ("lib.rs", "use std::fs; use other::Thing; pub use helper::deep::Deep;"),
        ("helper/lib.rs", "pub mod deep;"),
        ("helper/deep.rs", "pub struct Deep;"),
    ]);
    let helper = Root { name: "helper", file: "src/helper/lib.rs" };
    let roots = [Root { name: "made_up", file: "src/lib.rs" }, helper];
    let edges = Graph::read(&files, &roots).edges;
    let tos: Vec<&str> = edges.iter().map(|edge| edge.to.as_str()).collect();
    assert_eq!(tos, ["src/helper/deep.rs"]);
}

#[test]
fn an_edge_says_the_file_the_line_and_the_name() {
    let files =
        [("lib.rs", "mod a;\nmod b;"), ("a.rs", "\n\nuse crate::b::B;"), ("b.rs", "pub struct B;")];
    let edges = edges_of(&files);
    let said: Vec<String> = edges.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["src/a.rs:3 uses `crate::b::B` of src/b.rs"]);
}
