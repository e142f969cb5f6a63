//! Migrations of real files, with a step that this program does not have.

use std::fs;
use std::path::PathBuf;

use outstation_codec::{Lane, Segment, Stamp, StoredSegment, Value};
use tempfile::TempDir;

use super::*;
use crate::event_log::store::commit::{Commit, NewSegment};
use crate::event_log::store::database::Database;

const NEXT: &Migrations =
    &[MIGRATIONS[0], "ALTER TABLE segments ADD COLUMN note TEXT NOT NULL DEFAULT 'none';"];

/// A closed log of the current format with one segment.
fn log() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let mut segment = Segment::default();
    segment.push(0, Stamp::boot(5), [(0, Value::Int(42))].into_iter());
    let segment = StoredSegment::sealed(1, 1, Lane::Live, 0, segment.encode());
    let segments = vec![NewSegment { segment, first_ms: 5, last_ms: 5 }];
    let mut database = Database::open(&path, 7).expect("makes a log");
    database.commit(&Commit { segments, ..Commit::default() }).expect("commits");
    database.close().expect("closes");
    drop(database);
    (folder, path)
}

fn open_by(migrations: &Migrations, path: &Path) -> Result<Connection> {
    let mut connection = Connection::open(path).expect("opens");
    prepare_by(migrations, &mut connection, path, 9)?;
    Ok(connection)
}

/// Epoch, format, version in the header, and number of sound segments.
fn content(connection: &Connection) -> (u64, u32, i64, usize) {
    let meta = queries::meta(connection).expect("sound");
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let mut sound = 0;
    let count = |segment: StoredSegment| {
        sound += usize::from(segment.is_sound());
        true
    };
    queries::segments_from(connection, 0, count).expect("readable");
    (meta.epoch, meta.format, version.expect("a version"), sound)
}

#[test]
fn a_log_of_an_earlier_format_is_brought_to_the_next_with_all_it_holds() {
    let (_folder, path) = log();
    for _ in 0..2 {
        let connection = open_by(NEXT, &path).expect("migrates once");
        assert_eq!(content(&connection), (7, 2, 2, 1));
        let note: String = connection
            .query_row("SELECT note FROM segments", [], |row| row.get(0))
            .expect("the new column");
        assert_eq!(note, "none");
    }
}

#[test]
fn a_log_that_is_made_has_every_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = open_by(NEXT, &folder.path().join("log.db")).expect("makes a log");
    assert_eq!(content(&connection), (9, 2, 2, 0));
    let page: i64 =
        connection.pragma_query_value(None, "page_size", |row| row.get(0)).expect("a size");
    assert_eq!(page, i64::from(PAGE_BYTES));
}

#[test]
fn a_log_of_a_later_format_is_refused_and_not_touched() {
    let (_folder, path) = log();
    drop(open_by(NEXT, &path).expect("migrates"));
    let before = fs::read(&path).expect("a file");
    let refused = Database::open(&path, 9).expect_err("it is of a later format");
    assert!(matches!(refused, StorageError::Newer { found: 2, known: 1, .. }), "{refused}");
    let refused = open_by(MIGRATIONS, &path).expect_err("also where only the table says it");
    assert!(matches!(refused, StorageError::Newer { found: 2, known: 1, .. }), "{refused}");
    assert_eq!(fs::read(&path).expect("a file"), before);
}

#[test]
fn a_migration_that_fails_leaves_the_log_as_it_was() {
    let (_folder, path) = log();
    let before = fs::read(&path).expect("a file");
    let failing = &[NEXT[0], NEXT[1], "INSERT INTO nowhere VALUES (1);"];
    let error = open_by(failing, &path).expect_err("there is no such table");
    assert!(matches!(error, StorageError::Format { .. }), "{error}");
    assert_eq!(fs::read(&path).expect("a file"), before);
    drop(Database::open(&path, 9).expect("as if nothing had been tried"));
    assert_eq!(content(&open_by(NEXT, &path).expect("migrates")), (7, 2, 2, 1));
}
