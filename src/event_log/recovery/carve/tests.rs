//! Damages real files on purpose and accounts for every row.
//!
//! Invariants checked: no row is reported that was never written; no row is missed of which one copy is
//! intact, byte for byte; nothing is reported twice; every input gives a result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use outstation_codec::{Lane, Moment, StoredSegment};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::event_log::recovery::images::WalState;
use crate::event_log::store::error::{signed, unsigned};

/// A row, with what distinguishes it from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Meta(u64, u32),
    Segment(u64, u32, u32),
    Event(String, u64, u32),
    Snapshot(String, u64, u32),
    Quarantined(String, u64, u32),
}

impl Key {
    fn of(row: &DecodedRow) -> Self {
        match row {
            DecodedRow::Meta(row) => Self::Meta(row.epoch, row.checksum()),
            DecodedRow::Segment(NewSegment { segment, .. }) => {
                Self::Segment(segment.first_seq, segment.count, segment.checksum())
            }
            DecodedRow::Event(row) => {
                Self::Event(row.stream.as_str().into(), row.version, row.checksum())
            }
            DecodedRow::Snapshot(row) => {
                Self::Snapshot(row.stream.as_str().into(), row.version, row.checksum())
            }
            DecodedRow::Quarantined(row) => {
                Self::Quarantined(row.sink.clone(), row.segment.first_seq, row.checksum())
            }
        }
    }
}

/// A log that is written with plain SQL, with a record of all that was ever written to it.
struct Log {
    folder: TempDir,
    connection: Connection,
    random: fastrand::Rng,
    next_seq: u64,
    body_max: usize,
    written: BTreeSet<Key>,
}

const SCHEMA: &str = include_str!("../../store/sql/0001_initial.sql");

impl Log {
    fn new(page_size: usize, body_max: usize, seed: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let connection = Connection::open(folder.path().join("log.db")).expect("opens");
        connection.pragma_update(None, "page_size", page_size as i64).expect("sets");
        connection.pragma_update(None, "journal_mode", "wal").expect("sets");
        connection.pragma_update(None, "synchronous", "off").expect("sets");
        connection.pragma_update(None, "wal_autocheckpoint", 0).expect("sets");
        connection.execute_batch(SCHEMA).expect("creates");
        let mut random = fastrand::Rng::with_seed(seed);
        let row = MetaRow { epoch: random.u64(1..1 << 52), format: 1, file: vec![7; 16] };
        connection
            .execute(
                "INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4)",
                params![signed(row.epoch), row.format, row.file, row.checksum()],
            )
            .expect("inserts");
        let written = BTreeSet::from([Key::of(&DecodedRow::Meta(row))]);
        Self { folder, connection, random, next_seq: 1, body_max, written }
    }

    fn blob(&mut self, bytes_max: usize) -> Vec<u8> {
        // Most strings are short.
        let bytes = match self.random.u8(..8) {
            0 => self.random.usize(20..=bytes_max.max(20)),
            _ => self.random.usize(20..=bytes_max.clamp(20, 200)),
        };
        std::iter::repeat_with(|| self.random.u8(..)).take(bytes).collect()
    }

    fn segments(&mut self, number: usize) {
        for _ in 0..number {
            let count = self.random.u32(1..100);
            let lane =
                *self.random.choice(&[Lane::Alarm, Lane::Live, Lane::Backfill]).expect("one");
            let boot = self.random.u32(1..300);
            let body = self.blob(self.body_max);
            let segment = StoredSegment::sealed(self.next_seq, count, lane, boot, body);
            let first_ms = self.random.i64(0..1 << 40);
            self.connection
                .prepare_cached("INSERT INTO segments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
                .and_then(|mut insert| {
                    insert.execute(params![
                        signed(segment.first_seq),
                        count,
                        lane as u8,
                        boot,
                        first_ms,
                        first_ms + 1000,
                        segment.crc,
                        segment.body
                    ])
                })
                .expect("inserts");
            self.next_seq += u64::from(count);
            let new = NewSegment { segment, first_ms, last_ms: first_ms + 1000 };
            self.written.insert(Key::of(&DecodedRow::Segment(new)));
        }
    }

    fn copies(&mut self, number: usize) {
        for _ in 0..number {
            let sink = *self.random.choice(&["a", "a sink with a long name"]).expect("one");
            let (count, boot) = (self.random.u32(1..100), self.random.u32(1..300));
            let body = self.blob(self.body_max);
            let first_seq = self.random.u64(1..1 << 40);
            let reason = self.blob(300).iter().map(|byte| char::from(byte & 0x7F)).collect();
            let row = QuarantineRow {
                sink: sink.to_owned(),
                segment: StoredSegment::sealed(first_seq, count, Lane::Alarm, boot, body),
                at: Moment { boot, ms: self.random.i64(0..1 << 40) },
                replayed: self.random.bool(),
                reason,
            };
            self.connection
                .prepare_cached(
                    "INSERT INTO quarantine VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![
                        row.sink,
                        signed(first_seq),
                        count,
                        boot,
                        row.at.boot,
                        row.at.ms,
                        row.replayed,
                        row.reason,
                        row.segment.body,
                        row.checksum()
                    ])
                })
                .expect("inserts");
            self.written.insert(Key::of(&DecodedRow::Quarantined(row)));
        }
    }

    fn event(&mut self, stream: &str, version: u64) {
        let row = EventRow {
            stream: Stream::named(stream.into()),
            version,
            boot: self.random.u32(1..300),
            at_ms: self.random.i64(0..1 << 40),
            position: self.random.bool().then(|| self.random.u64(1..1 << 30)),
            data: self.blob(self.body_max.min(3000)),
        };
        self.connection
            .execute(
                "INSERT INTO events VALUES (?1, ?2, ?3, ?4, 'any', ?5, ?6, ?7)",
                params![
                    stream,
                    signed(version),
                    row.boot,
                    row.at_ms,
                    row.data,
                    row.position.map(signed),
                    row.checksum()
                ],
            )
            .expect("inserts");
        self.written.insert(Key::of(&DecodedRow::Event(row)));
    }

    fn snapshot(&mut self, stream: &str, version: u64) {
        let data = self.blob(self.body_max);
        let row = SnapshotRow { stream: Stream::named(stream.into()), version, data };
        self.connection
            .execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4)",
                params![stream, signed(version), row.data, row.checksum()],
            )
            .expect("inserts");
        self.connection
            .execute(
                "DELETE FROM events WHERE stream = ?1 AND version <= ?2",
                params![stream, signed(version.saturating_sub(40))],
            )
            .expect("deletes");
        self.written.insert(Key::of(&DecodedRow::Snapshot(row)));
    }

    /// Makes many transactions of all kinds, as the daemon does.
    fn commits(&mut self, number: usize, at: u64) {
        for round in 0..number as u64 {
            self.connection.execute_batch("BEGIN").expect("begins");
            let segments = self.random.usize(1..8);
            self.segments(segments);
            let copies = self.random.usize(..3);
            self.copies(copies);
            for stream in ["ledger", "clock", "port/ttyUSB0", "delivery/a sink with a long name"] {
                self.event(stream, at + round + 1);
                if !stream.starts_with("port/") && self.random.u8(..16) == 0 {
                    self.snapshot(stream, at + round + 1);
                }
            }
            self.connection.execute_batch("COMMIT").expect("commits");
        }
    }

    fn trim(&self, before: u64) {
        self.connection
            .execute("DELETE FROM segments WHERE first_seq < ?1", [signed(before)])
            .expect("deletes");
        self.connection
            .execute("DELETE FROM quarantine WHERE first_seq % 3 = 0", [])
            .expect("deletes");
    }

    fn checkpoint(&self) {
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))
            .expect("checkpoints");
        assert_eq!(busy, 0);
    }

    /// The files as a power failure would leave them now.
    fn files(&self) -> Files {
        let database = fs::read(self.folder.path().join("log.db")).expect("reads");
        let wal = fs::read(self.folder.path().join("log.db-wal")).unwrap_or_default();
        Files::new(&database, &wal)
    }

    /// The rows that SQL finds in the log.
    fn rows(&self) -> BTreeSet<Key> {
        let connection = &self.connection;
        let mut found = BTreeSet::new();
        let query = "SELECT first_seq, count, lane, boot, crc, body FROM segments";
        query_each(connection, query, |row| {
            let lane = [Lane::Alarm, Lane::Live, Lane::Backfill][usize::from(row.get::<_, u8>(2)?)];
            let (first_seq, count, crc) = (unsigned(row.get(0)?), row.get(1)?, row.get(4)?);
            let segment =
                StoredSegment { first_seq, count, lane, boot: row.get(3)?, crc, body: row.get(5)? };
            found.insert(Key::Segment(first_seq, count, segment.checksum()));
            Ok(())
        });
        let query = "SELECT stream, version, boot, at_ms, data, position FROM events";
        query_each(connection, query, |row| {
            found.insert(Key::of(&DecodedRow::Event(EventRow {
                stream: Stream::named(row.get(0)?),
                version: unsigned(row.get(1)?),
                boot: row.get(2)?,
                at_ms: row.get(3)?,
                data: row.get(4)?,
                position: row.get::<_, Option<i64>>(5)?.map(unsigned),
            })));
            Ok(())
        });
        query_each(connection, "SELECT stream, version, data FROM snapshots", |row| {
            let (stream, version) = (Stream::named(row.get(0)?), unsigned(row.get(1)?));
            found.insert(Key::of(&DecodedRow::Snapshot(SnapshotRow {
                stream,
                version,
                data: row.get(2)?,
            })));
            Ok(())
        });
        query_each(connection, "SELECT sink, first_seq, crc FROM quarantine", |row| {
            found.insert(Key::Quarantined(row.get(0)?, unsigned(row.get(1)?), row.get(2)?));
            Ok(())
        });
        query_each(connection, "SELECT epoch, format, file FROM meta", |row| {
            let (epoch, format) = (unsigned(row.get(0)?), row.get(1)?);
            found.insert(Key::of(&DecodedRow::Meta(MetaRow { epoch, format, file: row.get(2)? })));
            Ok(())
        });
        found
    }
}

fn query_each(
    connection: &Connection,
    query: &str,
    mut see: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) {
    let mut select = connection.prepare(query).expect("prepares");
    let mut rows = select.query([]).expect("selects");
    while let Some(row) = rows.next().expect("reads") {
        see(row).expect("reads");
    }
}

/// Copies of the files, to be damaged.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(database: &[u8], wal: &[u8]) -> Self {
        let files = Self { folder: TempDir::new().expect("a folder") };
        files.write(database, wal);
        files
    }

    fn write(&self, database: &[u8], wal: &[u8]) {
        fs::write(self.database(), database).expect("writes");
        fs::write(self.wal(), wal).expect("writes");
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    fn wal(&self) -> PathBuf {
        self.folder.path().join("log.db-wal")
    }

    fn read(&self) -> (Vec<u8>, Vec<u8>) {
        (fs::read(self.database()).expect("reads"), fs::read(self.wal()).expect("reads"))
    }

    fn carve(&self) -> Carving {
        carve(&self.database(), &self.wal()).expect("opens")
    }
}

/// Everything that a carving reports, with its promises checked on the way.
fn keys(carving: &Carving) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for segment in carving.segments() {
        let key = (segment.first_seq, Reverse(segment.count), segment.crc);
        assert!(last.is_none_or(|last| last < key), "ascending, and nothing twice");
        last = Some(key);
        let whole = carving.segment(&segment).expect("what was found can be read again");
        assert_eq!(whole.segment.crc, segment.crc);
        found.insert(Key::of(&DecodedRow::Segment(whole)));
    }
    let mut last = None;
    for event in carving.events() {
        let place = (event.row.stream.clone(), event.row.version);
        assert!(last.as_ref().is_none_or(|last| *last <= place), "ascending");
        last = Some(place);
        assert!(found.insert(Key::of(&DecodedRow::Event(event.row))), "nothing twice");
    }
    for copy in carving.quarantined() {
        assert!(found.insert(Key::of(&DecodedRow::Quarantined(copy.row))), "nothing twice");
    }
    let snapshots = carving.snapshots().values();
    found.extend(snapshots.map(|snapshot| Key::of(&DecodedRow::Snapshot(snapshot.row.clone()))));
    found.extend(carving.meta().map(|meta| Key::of(&DecodedRow::Meta(meta.row.clone()))));
    found
}

/// For each row its copies: the byte ranges of each, and the image they are on.
type Copies = BTreeMap<Key, Vec<Vec<(Image, Range<usize>)>>>;

/// The rows reported of an undamaged log. Where only the best row is reported, others are not expected.
struct Undamaged {
    rows: BTreeSet<Key>,
    copies: Copies,
}

impl Undamaged {
    fn new(carving: &Carving) -> Self {
        let Carving { images, finds } = carving;
        let mut copies = Copies::new();
        for image in 0..images.end() {
            if images.source(image).is_none() {
                continue;
            }
            let depth = if finds.settled.has(image) { ScanDepth::Named } else { ScanDepth::All };
            each_row(images, image, depth, &mut |found_row| {
                let mut parts = vec![(image, found_row.cell.clone())];
                parts.extend(found_row.overflow.iter().map(|image| (*image, 0..images.size)));
                copies.entry(Key::of(&found_row.row)).or_default().push(parts);
            });
        }
        Self { rows: keys(carving), copies }
    }

    /// The rows of which a copy is untouched.
    fn without(&self, touched: impl Fn(Image, &Range<usize>) -> bool) -> BTreeSet<Key> {
        let is_left = |key: &&Key| {
            let copies = self.copies.get(key).expect("it was found");
            copies.iter().any(|parts| !parts.iter().any(|(image, part)| touched(*image, part)))
        };
        self.rows.iter().filter(is_left).cloned().collect()
    }
}

#[track_caller]
fn assert_holds(found: &BTreeSet<Key>, expected: &BTreeSet<Key>, written: &BTreeSet<Key>) {
    let missed: Vec<&Key> = expected.difference(found).collect();
    assert!(missed.is_empty(), "{} of {} missed: {:?}", missed.len(), expected.len(), missed[0]);
    let invented: Vec<&Key> = found.difference(written).collect();
    assert!(invented.is_empty(), "{} invented: {:?}", invented.len(), invented[0]);
}

/// A log with old segments deleted, events replaced, and half of it in the journal.
fn lived_in(page_size: usize, body_max: usize, commits: usize, seed: u64) -> Log {
    let mut log = Log::new(page_size, body_max, seed);
    log.commits(commits, 0);
    log.trim(log.next_seq / 3);
    log.checkpoint();
    log.commits(commits, commits as u64);
    log.trim(log.next_seq / 2);
    log
}

#[test]
fn an_undamaged_log_is_recovered_completely() {
    for (page_size, body_max, commits) in [
        (512, 40_000, 25),
        (1024, 200, 100),
        (4096, 40_000, 40),
        (4096, 20, 200),
        (65536, 9000, 30),
    ] {
        let log = lived_in(page_size, body_max, commits, page_size as u64);
        for checkpointed in [false, true] {
            if checkpointed {
                log.checkpoint();
            }
            let files = log.files();
            let carving = files.carve();
            assert_eq!(carving.images.size, page_size);
            assert_eq!(carving.images.state, WalState::Sound);
            assert_holds(&keys(&carving), &log.rows(), &log.written);
            fs::remove_file(files.wal()).expect("removes");
            let carving = files.carve();
            assert_eq!(carving.images.state, WalState::Absent);
            let expected = if checkpointed { log.rows() } else { BTreeSet::new() };
            assert_holds(&keys(&carving), &expected, &log.written);
        }
    }
}

#[test]
fn without_its_first_page_a_log_is_recovered_completely() {
    for page_size in [512, 1024, 4096] {
        let log = lived_in(page_size, 40_000, 80, 7);
        for checkpointed in [false, true] {
            if checkpointed {
                log.checkpoint();
            }
            let files = log.files();
            let (mut database, wal) = files.read();
            database[..page_size].fill(0);
            files.write(&database, if checkpointed { &[] } else { &wal });
            let carving = files.carve();
            assert_eq!(carving.images.size, page_size);
            assert_holds(&keys(&carving), &log.rows(), &log.written);
        }
    }
}

#[test]
fn a_page_that_is_lost_takes_only_its_own_rows_along() {
    for (page_size, in_journal) in [(512, false), (1024, false), (4096, false), (512, true)] {
        let log = lived_in(page_size, 2000, 8, 3);
        if !in_journal {
            log.checkpoint();
        }
        let files = log.files();
        let (database, wal) = files.read();
        let wal = if in_journal { wal } else { Vec::new() };
        files.write(&database, &wal);
        let all = files.carve();
        let undamaged = Undamaged::new(&all);
        let mut lost = 0;
        for image in 0..all.images.end() {
            let (mut database, mut wal) = (database.clone(), wal.clone());
            let at = image as usize;
            match at.checked_sub(database.len() / page_size) {
                None => database[at * page_size..][..page_size].fill(0),
                Some(frame) => wal[32 + frame * (24 + page_size)..][..24 + page_size].fill(0),
            }
            let damaged = Files::new(&database, &wal);
            let expected = undamaged.without(|other, _| other == image);
            lost += undamaged.rows.len() - expected.len();
            assert_holds(&keys(&damaged.carve()), &expected, &log.written);
        }
        assert!(in_journal || lost > 0, "the rows were on pages");
    }
}

#[test]
fn a_truncated_log_gives_what_is_left_of_it() {
    let log = lived_in(1024, 9000, 100, 11);
    log.checkpoint();
    let (database, _) = log.files().read();
    let whole = Files::new(&database, &[]);
    let undamaged = Undamaged::new(&whole.carve());
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..60 {
        let length = random.usize(0..database.len());
        let files = Files::new(&database[..length], &[]);
        let expected = undamaged.without(|image, part| image as usize * 1024 + part.end > length);
        assert_holds(&keys(&files.carve()), &expected, &log.written);
    }
}

#[test]
fn flipped_bits_take_only_the_rows_they_are_in_along() {
    for (page_size, seed) in [(512, 1), (512, 2), (1024, 3), (4096, 4), (4096, 5)] {
        let log = lived_in(page_size, 9000, 25, seed);
        if seed % 2 == 0 {
            log.checkpoint();
        }
        let files = log.files();
        let (database, wal) = files.read();
        let undamaged = Undamaged::new(&files.carve());
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..12 {
            let (mut database, mut wal) = (database.clone(), wal.clone());
            let mut flipped: BTreeMap<Image, Vec<usize>> = BTreeMap::new();
            let pages = database.len() / page_size;
            for _ in 0..[1, 10, 100][round % 3] {
                let at = random.usize(0..database.len() + wal.len());
                let bit = 1 << random.u8(..8);
                if let Some(at) = at.checked_sub(database.len()) {
                    wal[at] ^= bit;
                    let Some(at) = at.checked_sub(32) else { continue };
                    let frame = u32::try_from(pages + at / (page_size + 24)).expect("few");
                    // A frame with a damaged header is lost for the chains.
                    match (at % (page_size + 24)).checked_sub(24) {
                        Some(at) => flipped.entry(frame).or_default().push(at),
                        None => flipped.entry(frame).or_default().extend(0..page_size),
                    }
                } else {
                    database[at] ^= bit;
                    let page = u32::try_from(at / page_size).expect("few");
                    flipped.entry(page).or_default().push(at % page_size);
                }
            }
            let damaged = Files::new(&database, &wal);
            let expected = undamaged.without(|image, part| {
                flipped.get(&image).is_some_and(|at| at.iter().any(|at| part.contains(at)))
            });
            let found = keys(&damaged.carve());
            assert_holds(&found, &expected, &log.written);
        }
    }
}

/// The rows of the journal; those of the database file are always expected.
fn torn(log: &Log, damage: impl Fn(&mut Vec<u8>)) -> Carving {
    let files = log.files();
    let (database, mut wal) = files.read();
    damage(&mut wal);
    files.write(&database, &wal);
    files.carve()
}

#[test]
fn of_a_torn_journal_the_whole_transactions_count() {
    let mut log = Log::new(1024, 5000, 5);
    log.commits(60, 0);
    log.checkpoint();
    let stored = log.rows();
    log.commits(1, 60);
    let files = log.files();
    let first = fs::metadata(files.wal()).expect("exists").len();
    let first = usize::try_from(first).expect("small");
    let stored: BTreeSet<Key> = stored.intersection(&log.rows()).cloned().collect();
    let early = log.rows();
    log.commits(60, 61);
    let segments = |keys: &BTreeSet<Key>| -> BTreeSet<Key> {
        keys.iter().filter(|key| matches!(key, Key::Segment(..))).cloned().collect()
    };
    let mut random = fastrand::Rng::with_seed(5);
    let (_, wal) = log.files().read();
    for _ in 0..15 {
        let length = random.usize(first..wal.len());
        let carving = torn(&log, |wal| wal.truncate(length));
        let found = keys(&carving);
        assert_holds(&found, &segments(&early), &log.written);
        // With one torn frame, everything behind it is still used.
        let carving = torn(&log, |wal| wal[length] ^= 1);
        assert_eq!(carving.images.state, WalState::Damaged);
        let lost = segments(&log.rows()).difference(&keys(&carving)).count();
        assert!(lost <= 8, "{lost} lost with a frame");
    }
    let zeroed = torn(&log, |wal| wal.fill(0));
    assert_holds(&keys(&zeroed), &segments(&stored), &log.written);
    let headless = torn(&log, |wal| wal[..32].fill(0));
    assert_holds(&keys(&headless), &log.rows(), &log.written);
}

#[test]
fn the_journal_of_another_log_takes_nothing_away() {
    let log = lived_in(4096, 5000, 50, 1);
    log.checkpoint();
    // A journal whose meta row shows it, one without a meta row, and one of another page size.
    let young = Log::new(4096, 5000, 2);
    let mut old = Log::new(4096, 5000, 3);
    old.checkpoint();
    old.commits(50, 1000);
    let other = Log::new(1024, 5000, 4);
    for (foreign, state) in
        [(&young, WalState::Foreign), (&old, WalState::Sound), (&other, WalState::Foreign)]
    {
        let (_, wal) = foreign.files().read();
        let carving = torn(&log, |own| own.clone_from(&wal));
        assert_eq!(carving.images.state, state);
        let both = log.written.union(&foreign.written).cloned().collect();
        let written = if state == WalState::Foreign { &log.written } else { &both };
        let own = log.rows();
        let own = own.into_iter().filter(|key| !matches!(key, Key::Snapshot(..))).collect();
        assert_holds(&keys(&carving), &own, written);
        for segment in carving.segments() {
            let key = Key::Segment(segment.first_seq, segment.count, segment.crc);
            assert!(log.written.contains(&key) || segment.rank.source == ImageSource::Journal);
        }
    }
}

#[test]
fn what_was_never_committed_is_not_taken_from_a_sound_journal() {
    let mut log = lived_in(4096, 5000, 50, 9);
    log.connection.pragma_update(None, "cache_size", 10).expect("sets");
    let committed = log.written.clone();
    let (_, before) = log.files().read();
    let next_seq = log.next_seq;
    log.connection.execute_batch("BEGIN").expect("begins");
    log.segments(600);
    let files = log.files();
    assert!(files.read().1.len() > before.len() + 50 * 4096, "the cache spilled");
    let carving = files.carve();
    assert_eq!(carving.images.state, WalState::Sound);
    assert_holds(&keys(&carving), &BTreeSet::new(), &committed);
    // The row was given up, and partly overwritten by later ones.
    log.connection.execute_batch("ROLLBACK").expect("rolls back");
    log.written = committed;
    log.next_seq = next_seq;
    log.commits(5, 1000);
    let carving = log.files().carve();
    let abandoned = |found: &FoundSegment| {
        !log.written.contains(&Key::Segment(found.first_seq, found.count, found.crc))
    };
    assert!(
        carving.segments().filter(abandoned).all(|found| found.rank.source == ImageSource::Stray)
    );
}

#[test]
fn the_memory_for_waiting_segments_is_bounded() {
    let log = lived_in(512, 30, 800, 21);
    let files = log.files();
    let carving = files.carve();
    let mut segments = carving.segments();
    let mut number = 0;
    while segments.next().is_some() {
        number += 1;
        assert!(segments.waiting.len() < 1000);
    }
    assert!(number > 2000, "{number}");
    // The same, with every page opened at the worst moment.
    let expected: Vec<u64> = carving.segments().map(|found| found.first_seq).collect();
    let mut segments = carving.segments();
    for leaf in &carving.finds.leaves {
        segments.open(leaf.image);
        assert!(segments.waiting.len() <= WAITING_MAX);
    }
    segments.next = carving.finds.leaves.len();
    assert!(segments.map(|found| found.first_seq).eq(expected));
}

#[test]
fn any_bytes_give_a_result() {
    let mut random = fastrand::Rng::with_seed(13);
    let log = lived_in(512, 2000, 20, 13);
    let (database, wal) = log.files().read();
    for round in 0..60 {
        let length = random.usize(0..200_000);
        let mut noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        if round % 2 == 0 {
            // These pages look right and lead anywhere.
            for page in noise.chunks_mut(512) {
                page[0] = [0, 2, 5, 10, 13][random.usize(..5)];
                page.iter_mut().skip(1).take(3).for_each(|byte| *byte = 0);
            }
        }
        let files = Files::new(&noise, &wal[..random.usize(..wal.len())]);
        keys(&files.carve());
        noise.truncate(10_000);
        let mut mixed = database.clone();
        let at = random.usize(..database.len());
        mixed.splice(at..at, noise.iter().copied());
        files.write(&mixed, &noise);
        let found = keys(&files.carve());
        assert_holds(&found, &BTreeSet::new(), &log.written);
    }
    assert!(keys(&carve(Path::new("/nowhere"), Path::new("/nowhere")).expect("empty")).is_empty());
}

#[test]
fn a_chain_that_leads_in_a_circle_ends() {
    let mut log = Log::new(512, 40_000, 17);
    log.segments(200);
    log.checkpoint();
    let (mut database, _) = log.files().read();
    let all = Files::new(&database, &[]).carve();
    let copies = Undamaged::new(&all).copies;
    for chain in copies.values().flatten().filter(|chain| chain.len() > 3) {
        let (to, last) = (chain[1].0 + 1, chain[chain.len() - 2].0 as usize);
        database[last * 512..][..4].copy_from_slice(&to.to_be_bytes());
    }
    let found = keys(&Files::new(&database, &[]).carve());
    assert_holds(&found, &BTreeSet::new(), &log.written);
}
