//! The log file: the only place that knows SQL.
//!
//! WAL mode with `synchronous=FULL`: a commit is on the medium when it returns. Everything that
//! belongs together, readings, events and trimming, is one transaction.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::error::{Result, StorageError, signed, sql, unsigned};
use super::schema::{configure, create_private, lock, migrate, refuse_newer};
use crate::domain::batch::{Lane, StoredSegment};
use crate::domain::event::{Event, Stream};

/// A snapshot replaces its stream's events after this many, so that replay stays short.
pub(super) const EVENTS_PER_SNAPSHOT: u64 = 64;
/// Streams without an aggregate keep this many events.
const EVENTS_KEPT: u64 = 256;

/// The open log file, held by this process alone.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
    epoch: u64,
    _lock: File,
}

/// A segment on its way into the log.
#[derive(Debug)]
pub struct NewSegment {
    pub segment: StoredSegment,
    /// Arrival of the first and last reading, milliseconds since boot.
    pub first_ms: i64,
    pub last_ms: i64,
}

/// An event with its place in its stream.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub stream: Stream,
    pub version: u64,
    pub event: Event,
}

/// What a stream's aggregate is rebuilt from, each part with the version it brings it to.
#[derive(Debug)]
pub struct History {
    pub snapshot: Option<(u64, Vec<u8>)>,
    pub events: Vec<(u64, Event)>,
}

/// Everything that becomes durable at once.
#[derive(Debug, Default)]
pub struct Commit {
    pub segments: Vec<NewSegment>,
    pub events: Vec<Versioned>,
    /// (stream, version, aggregate): replaces the stream's events up to the version.
    pub snapshots: Vec<(Stream, u64, Vec<u8>)>,
    /// Segments before this sequence number are delivered to every sink.
    pub delivered_before: u64,
    pub boot: u32,
    pub at_ms: i64,
}

impl Database {
    /// Opens or creates the log; `new_epoch` names its life if it is created.
    pub fn open(path: &Path, new_epoch: u64) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| StorageError::Folder { path: path.to_owned(), source })?;
        }
        refuse_newer(path)?;
        let lock = lock(path)?;
        let open = |source| StorageError::Open { path: path.to_owned(), source };
        create_private(path)
            .map_err(|source| StorageError::Lock { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
        // Closing moves the journal into the file, and a log that is refused must not be touched.
        let untouched = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection.set_db_config(untouched, true).map_err(open)?;
        migrate(&mut connection, path, new_epoch)?;
        connection.set_db_config(untouched, false).map_err(open)?;
        configure(&connection).map_err(open)?;
        let epoch: i64 = connection
            .query_row("SELECT epoch FROM meta", [], |row| row.get(0))
            .map_err(sql("read the epoch of the log"))?;
        Ok(Self { connection, path: path.to_owned(), epoch: unsigned(epoch), _lock: lock })
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything in `commit` durable, or nothing of it.
    pub fn commit(&mut self, commit: &Commit) -> Result<()> {
        let begin = rusqlite::TransactionBehavior::Immediate;
        let transaction = self
            .connection
            .transaction_with_behavior(begin)
            .map_err(sql("begin a commit to the log"))?;
        for segment in &commit.segments {
            insert_segment(&transaction, segment).map_err(sql("write a segment to the log"))?;
        }
        for event in &commit.events {
            insert_event(&transaction, event, commit)?;
        }
        for (stream, version, data) in &commit.snapshots {
            replace_snapshot(&transaction, stream, *version, data)
                .map_err(sql("write a snapshot to the log"))?;
        }
        // The newest segment stays whatever happened to it: it carries the sequence on.
        transaction
            .prepare_cached(
                "DELETE FROM segments WHERE first_seq + count <= ?1 \
                 AND first_seq < ?1 AND first_seq < (SELECT max(first_seq) FROM segments)",
            )
            .and_then(|mut delete| delete.execute([signed(commit.delivered_before)]))
            .map_err(sql("trim delivered segments"))?;
        transaction.commit().map_err(sql("commit to the log"))
    }

    /// The sequence number after the last stored one.
    pub fn next_seq(&self) -> Result<u64> {
        let next: Option<i64> = self
            .connection
            .query_row(
                "SELECT first_seq + count FROM segments ORDER BY first_seq DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(sql("read the end of the log"))?;
        Ok(next.map_or(1, unsigned))
    }

    /// The latest snapshot of a stream, if any, and the events after it.
    pub fn stream(&self, stream: &Stream) -> Result<History> {
        let snapshot = self.snapshot(stream).map_err(sql("read a snapshot"))?;
        let after = snapshot.as_ref().map_or(0, |(version, _)| *version);
        let rows: Vec<(u64, Vec<u8>)> =
            self.event_rows(stream, after).map_err(sql("read events"))?;
        let decode = |(version, data): (u64, Vec<u8>)| {
            let event = postcard::from_bytes(&data)
                .map_err(|source| StorageError::Encoding { what: "event", source })?;
            Ok((version, event))
        };
        Ok(History { snapshot, events: rows.into_iter().map(decode).collect::<Result<_>>()? })
    }

    /// The first sequence number still in the log, or the next one if it is empty.
    pub fn oldest_seq(&self) -> Result<u64> {
        let oldest: Option<i64> = self
            .connection
            .query_row("SELECT min(first_seq) FROM segments", [], |row| row.get(0))
            .map_err(sql("read the start of the log"))?;
        oldest.map_or_else(|| self.next_seq(), |seq| Ok(unsigned(seq)))
    }

    /// Where the first segment after `seq` begins.
    pub fn first_after(&self, seq: u64) -> Result<Option<u64>> {
        self.connection
            .query_row(
                "SELECT min(first_seq) FROM segments WHERE first_seq > ?1",
                [signed(seq)],
                |row| row.get::<_, Option<i64>>(0),
            )
            .map(|first| first.map(unsigned))
            .map_err(sql("read where the next segment begins"))
    }

    /// The version every stream is at.
    pub fn versions(&self) -> Result<BTreeMap<Stream, u64>> {
        let query = "SELECT stream, max(version) FROM \
                     (SELECT stream, version FROM events UNION ALL SELECT stream, version FROM snapshots) \
                     GROUP BY stream";
        let read = || {
            let mut select = self.connection.prepare(query)?;
            let rows = select
                .query_map([], |row| Ok((Stream::named(row.get(0)?), unsigned(row.get(1)?))))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(sql("read the versions of the streams"))
    }

    /// Consecutive segments of one lane, from the first that begins at or after `from`, while they
    /// fit into `readings_max` readings and `bytes_max` body bytes; at least one if there is any.
    /// A row that is no segment is passed over: whoever counts sees the gap.
    pub fn segments_from(
        &self,
        from: u64,
        readings_max: u64,
        bytes_max: usize,
    ) -> Result<Vec<StoredSegment>> {
        let mut found: Vec<StoredSegment> = Vec::new();
        let (mut readings, mut bytes) = (0, 0);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT first_seq, count, lane, boot, crc, body FROM segments \
                 WHERE first_seq >= ?1 ORDER BY first_seq",
            )
            .map_err(sql("prepare to read segments"))?;
        let mut rows = select.query([signed(from)]).map_err(sql("read segments"))?;
        while let Some(row) = rows.next().map_err(sql("read segments"))? {
            let Ok(segment) = segment_from(row) else {
                if found.is_empty() {
                    continue;
                }
                break;
            };
            readings += u64::from(segment.count);
            bytes += segment.body.len();
            let fits = found.last().is_none_or(|last| {
                last.lane == segment.lane
                    && last.last_seq() + 1 == segment.first_seq
                    && readings <= readings_max
                    && bytes <= bytes_max
            });
            if !fits {
                break;
            }
            found.push(segment);
        }
        Ok(found)
    }

    /// Bytes the database file takes, without its write-ahead log.
    pub fn bytes(&self) -> Result<u64> {
        let pragma =
            |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count").map_err(sql("read the size of the log"))?;
        let page = pragma("page_size").map_err(sql("read the size of the log"))?;
        Ok(unsigned(pages * page))
    }

    fn snapshot(&self, stream: &Stream) -> rusqlite::Result<Option<(u64, Vec<u8>)>> {
        self.connection
            .prepare_cached("SELECT version, data FROM snapshots WHERE stream = ?1")?
            .query_row([stream.as_str()], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))
            .optional()
    }

    fn event_rows(&self, stream: &Stream, after: u64) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
        self.connection
            .prepare_cached(
                "SELECT version, data FROM events WHERE stream = ?1 AND version > ?2 ORDER BY version",
            )?
            .query_map(params![stream.as_str(), signed(after)], |row| {
                Ok((unsigned(row.get(0)?), row.get(1)?))
            })?
            .collect()
    }
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
    let row = params![
        new.stream.as_str(),
        signed(new.version),
        commit.boot,
        commit.at_ms,
        new.event.kind(),
        data
    ];
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events (stream, version, boot, at_ms, kind, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut insert| insert.execute(row));
    match inserted {
        Ok(_) => Ok(()),
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Err(StorageError::Conflict {
                stream: new.stream.as_str().into(),
                expected: new.version - 1,
            })
        }
        Err(source) => Err(StorageError::Sql { operation: "write an event to the log", source }),
    }?;
    trim_stream(connection, new).map_err(sql("trim a stream"))
}

/// Streams that no aggregate is rebuilt from are history for people, and bounded as such.
fn trim_stream(connection: &Connection, new: &Versioned) -> rusqlite::Result<()> {
    if new.event.is_aggregated() || new.version % EVENTS_PER_SNAPSHOT != 0 {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM events WHERE stream = ?1 AND version <= ?2")?
        .execute(params![new.stream.as_str(), signed(new.version.saturating_sub(EVENTS_KEPT))])
        .map(drop)
}

fn replace_snapshot(
    connection: &Connection,
    stream: &Stream,
    version: u64,
    data: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO snapshots (stream, version, data) VALUES (?1, ?2, ?3) \
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version, data = excluded.data",
        )?
        .execute(params![stream.as_str(), signed(version), data])?;
    connection
        .prepare_cached("DELETE FROM events WHERE stream = ?1 AND version <= ?2")?
        .execute(params![stream.as_str(), signed(version)])
        .map(drop)
}

fn segment_from(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredSegment> {
    Ok(StoredSegment {
        first_seq: unsigned(row.get(0)?),
        count: row.get(1)?,
        lane: lane_from(row.get(2)?),
        boot: row.get(3)?,
        crc: row.get(4)?,
        body: row.get(5)?,
    })
}

fn lane_code(lane: Lane) -> i64 {
    match lane {
        Lane::Alarm => 0,
        Lane::Live => 1,
        Lane::Backfill => 2,
    }
}

fn lane_from(code: i64) -> Lane {
    match code {
        0 => Lane::Alarm,
        1 => Lane::Live,
        _ => Lane::Backfill,
    }
}
