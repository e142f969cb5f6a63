//! Documents that come from tables in the code are as the code makes them.
//!
//! `OUTSTATION_WRITE=1 cargo test --test tidy generated` writes them.

use std::fs;
use std::path::Path;

use outstation::config::reference;

use crate::ROOT;

const WRITE: &str = "OUTSTATION_WRITE";

fn assert_written(path: &str, made: &str) {
    let file = Path::new(ROOT).join(path);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, made).unwrap_or_else(|error| panic!("failed to write {path}: {error}"));
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let differs = found.lines().zip(made.lines()).position(|(found, made)| found != made);
    let line = differs.unwrap_or(found.lines().count().min(made.lines().count())) + 1;
    assert!(
        found == made,
        "{path} is not what the code makes, from line {line} on; to write it: {WRITE}=1 cargo test --test \
         tidy generated"
    );
}

#[test]
fn the_shipped_configuration_is_made_from_the_tables_of_keys() {
    assert_written("config/outstation.toml", &reference::shipped_file());
}

#[test]
fn the_reference_of_the_configuration_is_made_from_the_tables_of_keys() {
    assert_written("docs/operate/configuration.md", &reference::reference_page());
}
