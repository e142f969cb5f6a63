//! The log file as the daemon uses it: the only place that writes to it.
//!
//! In WAL mode with `synchronous=FULL`, a commit is on the medium when it returns. Everything that belongs
//! together is one transaction: readings, events, trimming and eviction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outstation_codec::{Lane, StoredSegment};
use rusqlite::{Connection, OpenFlags, params};

use super::commit::{Commit, NewSegment, Versioned};
use super::copies::{self, Copied};
use super::error::{Result, StorageError, signed, sql};
use super::files::{self, Files};
use super::meter::{WriteCost, WriteMeter};
use super::queries::{self, Head, Pages, lane_code};
use super::rows::{EventRow, History, MetaRow, QuarantineRow, SnapshotRow};
use super::schema::{self, FORMAT};
use crate::domain::model::event::{Event, Stream};

/// The open log file. The caller must hold the lock of the log, so that no other process writes to it.
#[derive(Debug)]
pub struct Database {
    pub(crate) connection: Connection,
    path: PathBuf,
    meter: WriteMeter,
    epoch: u64,
    /// Events up to this position were removed, except those that must stay.
    forgotten: u64,
}

/// How many published events leave the log in one step.
const EVENTS_PER_FORGETTING: u64 = 64;

impl Database {
    /// Opens the log, or makes one with the epoch `new_epoch` if there is none.
    pub(crate) fn open(path: &Path, new_epoch: u64) -> Result<Self> {
        schema::refuse_newer(path)?;
        let open = |source| StorageError::Open { path: path.to_owned(), source };
        files::create_private(path)
            .map_err(|source| StorageError::Create { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
        schema::prepare(&mut connection, path, new_epoch)?;
        let epoch = queries::meta(&connection)?.epoch;
        let meter = WriteMeter::of(&connection, Files::of(path).journal())?;
        Ok(Self { connection, path: path.to_owned(), meter, epoch, forgotten: 0 })
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of the file, as the log recorded it; see `Files::identity`.
    pub(crate) fn identity(&self) -> Result<Vec<u8>> {
        queries::meta(&self.connection).map(|meta| meta.file)
    }

    /// Begins a new epoch of the log, or records the identity of its file.
    pub(crate) fn identify(&mut self, epoch: u64, file: Vec<u8>) -> Result<()> {
        let meta = MetaRow { epoch, format: FORMAT, file };
        schema::write_meta(&self.connection, &meta)
            .map_err(sql("write the identity of the log"))?;
        self.meter.committed(&self.connection);
        self.epoch = epoch;
        Ok(())
    }

    /// Makes everything in `commit` durable, or none of it.
    pub fn commit(&mut self, commit: &Commit) -> Result<()> {
        let begin = rusqlite::TransactionBehavior::Immediate;
        let transaction = self
            .connection
            .transaction_with_behavior(begin)
            .map_err(sql("begin a commit to the log"))?;
        // Rows are removed first, so that new ones take their pages.
        for (first, last) in &commit.remove {
            remove_segments(&transaction, *first, *last)
                .map_err(sql("remove segments from the log"))?;
        }
        for change in &commit.copies {
            copies::apply(&transaction, change)?;
        }
        for segment in &commit.segments {
            insert_segment(&transaction, segment).map_err(sql("write a segment to the log"))?;
        }
        for event in &commit.events {
            insert_event(&transaction, event, commit)?;
        }
        for snapshot in &commit.snapshots {
            replace_snapshot(&transaction, snapshot, commit.events_to_forget)?;
        }
        let forget = commit.events_to_forget >= self.forgotten + EVENTS_PER_FORGETTING;
        if forget {
            forget_events(&transaction, commit.events_to_forget)
                .map_err(sql("remove old events from the log"))?;
        }
        transaction.commit().map_err(sql("commit to the log"))?;
        self.meter.committed(&self.connection);
        if forget {
            self.forgotten = commit.events_to_forget;
        }
        Ok(())
    }

    /// Takes over the aggregates of another log and its history for people.
    pub(crate) fn import(
        &mut self,
        snapshots: &[SnapshotRow],
        history: impl Iterator<Item = EventRow>,
    ) -> Result<()> {
        let transaction = self.connection.transaction().map_err(sql("begin to import a log"))?;
        for snapshot in snapshots {
            schema::write_snapshot(&transaction, snapshot).map_err(sql("import a snapshot"))?;
        }
        for row in history {
            let kind =
                postcard::from_bytes::<Event>(&row.data).map_or("unknown", |event| event.kind());
            write_event(&transaction, &row, kind).map_err(sql("import an event"))?;
        }
        transaction.commit().map_err(sql("import a log"))?;
        self.meter.committed(&self.connection);
        Ok(())
    }

    /// Writes the whole log to another path.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        files::remove(path);
        self.connection
            .execute("VACUUM INTO ?1", [path.to_string_lossy()])
            .map(drop)
            .map_err(sql("write the log to its path again"))
    }

    /// Closes the file for good, because it is about to be moved.
    pub(crate) fn close(&mut self) -> Result<()> {
        let nothing = Connection::open_in_memory().map_err(sql("open a database in memory"))?;
        let connection = std::mem::replace(&mut self.connection, nothing);
        // Pages that could not be moved into the file are still in the journal.
        drop(connection.close());
        Ok(())
    }

    pub fn next_seq(&self) -> Result<u64> {
        queries::next_seq(&self.connection)
    }

    pub fn oldest_seq(&self) -> Result<u64> {
        queries::oldest_seq(&self.connection)
    }

    pub fn first_after(&self, seq: u64) -> Result<Option<u64>> {
        queries::first_after(&self.connection, seq)
    }

    pub fn history(&self, stream: &Stream) -> Result<History> {
        queries::history(&self.connection, stream)
    }

    pub fn versions(&self) -> Result<BTreeMap<Stream, u64>> {
        queries::versions(&self.connection)
    }

    pub fn last_position(&self) -> Result<u64> {
        queries::last_position(&self.connection)
    }

    pub(crate) fn published(&self, after: u64, most: usize) -> Result<Vec<EventRow>> {
        queries::published(&self.connection, after, most)
    }

    pub fn heads(&self, from: u64, most: usize) -> Result<Vec<Head>> {
        queries::heads(&self.connection, from, most)
    }

    /// The segment with the highest numbers.
    pub fn newest(&self) -> Result<Option<Head>> {
        self.head_before(u64::MAX)
    }

    /// Says whether the segment with the highest numbers is sound, because the next numbers depend on it.
    pub(crate) fn newest_is_sound(&self) -> Result<bool> {
        let Some(newest) = self.newest()? else { return Ok(true) };
        let mut sound = false;
        self.visit(newest.first_seq, |segment| {
            sound = segment.is_sound();
            false
        })?;
        Ok(sound)
    }

    /// The last segment that begins before `seq`.
    pub fn head_before(&self, seq: u64) -> Result<Option<Head>> {
        queries::head_before(&self.connection, seq)
    }

    pub fn lane_heads(&self, lane: Lane, from: u64, most: usize) -> Result<Vec<Head>> {
        queries::lane_heads(&self.connection, lane, from, most)
    }

    /// Visits segments, from the one that holds `from` or the next, until `visit` returns false.
    pub fn visit(&self, from: u64, visit: impl FnMut(StoredSegment) -> bool) -> Result<()> {
        queries::segments_from(&self.connection, from, visit)
    }

    /// The segment that holds a number, if there is one.
    pub fn holding(&self, seq: u64) -> Result<Option<Head>> {
        let head = self.head_before(seq.saturating_add(1))?;
        Ok(head.filter(|head| head.last_seq() >= seq))
    }

    pub fn heads_before(&self, seq: u64, most: usize) -> Result<Vec<Head>> {
        queries::heads_before(&self.connection, seq, most)
    }

    pub fn pages(&self) -> Result<Pages> {
        queries::pages(&self.connection)
    }

    /// Returns the free pages of the file to the file system. This copies the whole file, so it is for a
    /// log that has become much larger than its bound.
    pub(crate) fn shrink(&mut self) -> Result<()> {
        self.connection.execute_batch("VACUUM").map_err(sql("shrink the log"))?;
        self.meter.committed(&self.connection);
        self.checkpoint("TRUNCATE").map(drop)
    }

    pub(crate) fn copied(&self) -> Result<Copied> {
        copies::copied(&self.connection)
    }

    pub(crate) fn copied_bytes(&self) -> Result<u64> {
        copies::copied_bytes(&self.connection)
    }

    /// Visits the copies of a sink, each with whether it is sound, from the one that holds `from` or the
    /// next, until `visit` returns false.
    pub(crate) fn quarantined(
        &self,
        sink: &str,
        from: u64,
        visit: impl FnMut(QuarantineRow, bool) -> bool,
    ) -> Result<()> {
        copies::each(&self.connection, sink, from, visit)
    }

    /// Moves the journal into the file. Returns whether all of it could be moved, with no reader in the
    /// way.
    pub(crate) fn checkpoint(&mut self, mode: &str) -> Result<bool> {
        self.meter.checkpoint(&self.connection, mode)
    }

    /// The writes to the storage since the last call.
    pub(crate) fn spent(&mut self) -> WriteCost {
        self.meter.take()
    }
}

fn remove_segments(connection: &Connection, first: u64, last: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM segments WHERE first_seq BETWEEN ?1 AND ?2")?
        .execute([signed(first), signed(last)])
        .map(drop)
}

fn insert_segment(connection: &Connection, new: &NewSegment) -> rusqlite::Result<()> {
    let NewSegment { segment, first_ms, last_ms } = new;
    connection
        .prepare_cached(
            "INSERT INTO segments (first_seq, count, lane, boot, first_ms, last_ms, crc, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            signed(segment.first_seq),
            segment.count,
            lane_code(segment.lane),
            segment.boot,
            first_ms,
            last_ms,
            segment.crc,
            segment.body,
        ])
        .map(drop)
}

fn insert_event(connection: &Connection, new: &Versioned, commit: &Commit) -> Result<()> {
    let data = postcard::to_stdvec(&new.event)
        .map_err(|source| StorageError::Encoding { what: "event", source })?;
    let row = EventRow {
        stream: new.stream.clone(),
        version: new.version,
        boot: commit.boot,
        at_ms: new.at_ms,
        position: new.position,
        data,
    };
    match write_event(connection, &row, new.event.kind()) {
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Err(StorageError::Conflict {
                stream: new.stream.as_str().into(),
                expected: new.version - 1,
            })
        }
        written => written.map_err(sql("write an event to the log")),
    }
}

fn write_event(connection: &Connection, row: &EventRow, kind: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO events (stream, version, boot, at_ms, kind, data, position, crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            row.stream.as_str(),
            signed(row.version),
            row.boot,
            row.at_ms,
            kind,
            row.data,
            row.position.map(signed),
            row.checksum(),
        ])
        .map(drop)
}

fn replace_snapshot(connection: &Connection, row: &SnapshotRow, position: u64) -> Result<()> {
    let found = queries::snapshot_version(connection, &row.stream)?;
    if found.is_some_and(|found| found >= row.version) {
        return Err(StorageError::Conflict {
            stream: row.stream.as_str().into(),
            expected: row.version - 1,
        });
    }
    let write = || {
        schema::write_snapshot(connection, row)?;
        connection
            .prepare_cached(
                "DELETE FROM events WHERE stream = ?1 AND version <= ?2 \
                 AND (position IS NULL OR position <= ?3)",
            )?
            .execute(params![row.stream.as_str(), signed(row.version), signed(position)])
    };
    write().map(drop).map_err(sql("write a snapshot to the log"))
}

/// Removes published events up to `position`. A published event stays while it is pending for a sink, also
/// after a snapshot of its stream.
fn forget_events(connection: &Connection, position: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM events WHERE position <= ?1 AND (\
                stream LIKE 'port/%' OR stream LIKE 'sink/%' OR stream = 'log' OR version <= \
                (SELECT version FROM snapshots WHERE snapshots.stream = events.stream))",
        )?
        .execute([signed(position)])
        .map(drop)
}
