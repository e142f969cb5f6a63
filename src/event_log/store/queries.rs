//! The queries on the log file, for the daemon and for readers beside it.
//!
//! Every query is bounded by a limit or a key, so none reads the whole backlog. `plans.rs` checks their
//! query plans.

use std::collections::BTreeMap;

use outstation_codec::{Lane, StoredSegment};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::{Result, StorageError, signed, sql, unsigned};
use super::rows::{EventRow, History, MetaRow, SnapshotRow};
use crate::domain::model::event::Stream;

pub(crate) const META: &str = "SELECT epoch, format, file, crc FROM meta";
pub(crate) const VERSIONS: &str = "SELECT stream, max(version) FROM \
     (SELECT stream, version FROM events UNION ALL SELECT stream, version FROM snapshots) \
     GROUP BY stream";
pub(crate) const SNAPSHOT: &str = "SELECT version, data, crc FROM snapshots WHERE stream = ?1";
pub(crate) const HISTORY: &str = "SELECT stream, version, boot, at_ms, position, data, crc FROM events \
     WHERE stream = ?1 AND version > ?2 ORDER BY version";
pub(crate) const PUBLISHED: &str = "SELECT stream, version, boot, at_ms, position, data, crc FROM events \
     WHERE position > ?1 ORDER BY position LIMIT ?2";
pub(crate) const KEPT: &str = "SELECT stream, count(*) FROM events GROUP BY stream";
pub(crate) const LAST_POSITION: &str =
    "SELECT max(position) FROM events WHERE position IS NOT NULL";
/// Starts at the segment that holds the number, if there is one.
pub(crate) const SEGMENTS: &str = "SELECT first_seq, count, lane, boot, crc, body, first_ms, last_ms FROM segments \
     WHERE first_seq >= coalesce((SELECT max(first_seq) FROM segments WHERE first_seq <= ?1), ?1) \
     ORDER BY first_seq";
pub(crate) const HEADS: &str = "SELECT first_seq, count, lane, boot, first_ms, last_ms, length(body) FROM segments \
     WHERE first_seq >= ?1 ORDER BY first_seq LIMIT ?2";
pub(crate) const HEAD_BEFORE: &str = "SELECT first_seq, count, lane, boot, first_ms, last_ms, length(body) FROM segments \
     WHERE first_seq < ?1 ORDER BY first_seq DESC LIMIT 1";
pub(crate) const HEADS_BEFORE: &str = "SELECT first_seq, count, lane, boot, first_ms, last_ms, length(body) FROM segments \
     WHERE first_seq < ?1 ORDER BY first_seq DESC LIMIT ?2";
pub(crate) const LIVE_HEADS: &str = "SELECT first_seq, count, lane, boot, first_ms, last_ms, length(body) FROM segments \
     WHERE lane = 1 AND first_seq >= ?1 ORDER BY first_seq LIMIT ?2";
pub(crate) const OTHER_HEADS: &str = "SELECT first_seq, count, lane, boot, first_ms, last_ms, length(body) FROM segments \
     INDEXED BY segments_by_lane \
     WHERE lane = ?3 AND lane <> 1 AND first_seq >= ?1 ORDER BY first_seq LIMIT ?2";
pub(crate) const LAST: &str =
    "SELECT first_seq, count FROM segments ORDER BY first_seq DESC LIMIT 1";
pub(crate) const OLDEST: &str = "SELECT min(first_seq) FROM segments";
pub(crate) const AFTER: &str = "SELECT min(first_seq) FROM segments WHERE first_seq > ?1";
pub(crate) const PAGES: &str = "SELECT page_count, freelist_count, page_size \
     FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

/// A segment without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub first_seq: u64,
    pub count: u32,
    pub lane: Lane,
    pub boot: u32,
    /// When the first and the last reading arrived, in milliseconds since boot.
    pub first_ms: i64,
    pub last_ms: i64,
    /// The bytes of the body.
    pub bytes: u64,
}

impl Head {
    pub fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count)).saturating_sub(1)
    }
}

/// The pages of the database file: how many there are, how many are free, and the bytes of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    pub all: u64,
    pub free: u64,
    pub bytes: u64,
}

impl Pages {
    pub fn used_bytes(&self) -> u64 {
        (self.all - self.free.min(self.all)) * self.bytes
    }

    pub fn file_bytes(&self) -> u64 {
        self.all * self.bytes
    }
}

/// The length of the journal in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) frames: u64,
    /// How many of the frames were moved into the file.
    pub(crate) moved: u64,
}

pub(crate) fn meta(connection: &Connection) -> Result<MetaRow> {
    let (row, crc) = connection
        .query_row(META, [], |row| {
            let meta =
                MetaRow { epoch: unsigned(row.get(0)?), format: row.get(1)?, file: row.get(2)? };
            Ok((meta, row.get::<_, u32>(3)?))
        })
        .map_err(sql("read the identity of the log"))?;
    checked(row.checksum() == crc, "identity")?;
    Ok(row)
}

/// The current version of each stream.
pub(crate) fn versions(connection: &Connection) -> Result<BTreeMap<Stream, u64>> {
    let read = || {
        let mut select = connection.prepare(VERSIONS)?;
        let rows =
            select.query_map([], |row| Ok((Stream::named(row.get(0)?), unsigned(row.get(1)?))))?;
        rows.collect::<rusqlite::Result<_>>()
    };
    read().map_err(sql("read the versions of the streams"))
}

/// The latest snapshot of a stream, if any, and the events after it.
pub(crate) fn history(connection: &Connection, stream: &Stream) -> Result<History> {
    let snapshot = snapshot(connection, stream)?;
    let after = snapshot.as_ref().map_or(0, |row| row.version);
    let key = params![stream.as_str(), signed(after)];
    let events = events(connection, HISTORY, key)?;
    let mut expected = after;
    for event in &events {
        expected += 1;
        checked(event.version == expected, "stream")?;
    }
    Ok(History { snapshot, events })
}

/// The published events after a position, in order; at most `most`.
pub(crate) fn published(connection: &Connection, after: u64, most: usize) -> Result<Vec<EventRow>> {
    events(connection, PUBLISHED, params![signed(after), signed(most as u64)])
}

fn events(
    connection: &Connection,
    query: &str,
    key: impl rusqlite::Params,
) -> Result<Vec<EventRow>> {
    let sound = event_rows(connection, query, key)?.into_iter().map(|(row, sound)| {
        checked(sound, "event")?;
        Ok(row)
    });
    sound.collect()
}

/// Reads events, each with whether its checksum holds.
pub(crate) fn event_rows(
    connection: &Connection,
    query: &str,
    key: impl rusqlite::Params,
) -> Result<Vec<(EventRow, bool)>> {
    let read = || {
        let mut select = connection.prepare_cached(query)?;
        let rows = select.query_map(key, |row| {
            let (event, crc) = (event_from(row)?, row.get::<_, u32>(6)?);
            let sound = event.checksum() == crc;
            Ok((event, sound))
        })?;
        rows.collect::<rusqlite::Result<_>>()
    };
    read().map_err(sql("read events"))
}

/// How many events of each stream are in the log.
pub(crate) fn kept(connection: &Connection) -> Result<BTreeMap<Stream, u64>> {
    let read = || {
        let mut select = connection.prepare(KEPT)?;
        let rows =
            select.query_map([], |row| Ok((Stream::named(row.get(0)?), unsigned(row.get(1)?))))?;
        rows.collect::<rusqlite::Result<_>>()
    };
    read().map_err(sql("count events"))
}

fn event_from(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        stream: Stream::named(row.get(0)?),
        version: unsigned(row.get(1)?),
        boot: row.get(2)?,
        at_ms: row.get(3)?,
        position: row.get::<_, Option<i64>>(4)?.map(unsigned),
        data: row.get(5)?,
    })
}

pub(crate) fn snapshot(connection: &Connection, stream: &Stream) -> Result<Option<SnapshotRow>> {
    let read = || {
        connection
            .prepare_cached(SNAPSHOT)?
            .query_row([stream.as_str()], |row| {
                let (version, data) = (unsigned(row.get(0)?), row.get(1)?);
                let snapshot = SnapshotRow { stream: stream.clone(), version, data };
                Ok((snapshot, row.get::<_, u32>(2)?))
            })
            .optional()
    };
    let Some((row, crc)) = read().map_err(sql("read a snapshot"))? else { return Ok(None) };
    checked(row.checksum() == crc, "snapshot")?;
    Ok(Some(row))
}

pub(crate) fn snapshot_version(connection: &Connection, stream: &Stream) -> Result<Option<u64>> {
    let read = || {
        connection
            .prepare_cached("SELECT version FROM snapshots WHERE stream = ?1")?
            .query_row([stream.as_str()], |row| row.get(0).map(unsigned))
            .optional()
    };
    read().map_err(sql("read the version of a snapshot"))
}

/// The position of the last published event.
pub(crate) fn last_position(connection: &Connection) -> Result<u64> {
    let last: Option<i64> = connection
        .query_row(LAST_POSITION, [], |row| row.get(0))
        .map_err(sql("read the position of the last event"))?;
    Ok(last.map_or(0, unsigned))
}

/// Visits segments, from the one that holds `from` or the next, until `visit` returns false. A row that
/// cannot be read as a segment is skipped; the caller sees the gap in the numbers.
pub(crate) fn segments_from(
    connection: &Connection,
    from: u64,
    mut visit: impl FnMut(StoredSegment) -> bool,
) -> Result<()> {
    let reading = sql("read segments");
    let mut select = connection.prepare_cached(SEGMENTS).map_err(&reading)?;
    let mut rows = select.query([signed(from)]).map_err(&reading)?;
    while let Some(row) = rows.next().map_err(&reading)? {
        let Ok(segment) = segment_from(row) else { continue };
        if segment.last_seq() < from {
            continue;
        }
        if !visit(segment) {
            break;
        }
    }
    Ok(())
}

pub(crate) fn segment_from(row: &Row<'_>) -> rusqlite::Result<StoredSegment> {
    Ok(StoredSegment {
        first_seq: unsigned(row.get(0)?),
        count: row.get(1)?,
        lane: lane_from(row.get(2)?),
        boot: row.get(3)?,
        crc: row.get(4)?,
        body: row.get(5)?,
    })
}

/// At most `most` segments that begin at or after `from`, without their bodies.
pub(crate) fn heads(connection: &Connection, from: u64, most: usize) -> Result<Vec<Head>> {
    heads_of(connection, HEADS, params![signed(from), signed(most as u64)])
}

/// The last segment that begins before `seq`.
pub(crate) fn head_before(connection: &Connection, seq: u64) -> Result<Option<Head>> {
    Ok(heads_of(connection, HEAD_BEFORE, params![signed(seq)])?.pop())
}

/// At most `most` segments that begin before `seq`, the last first.
pub(crate) fn heads_before(connection: &Connection, seq: u64, most: usize) -> Result<Vec<Head>> {
    heads_of(connection, HEADS_BEFORE, params![signed(seq), signed(most as u64)])
}

/// At most `most` segments of one lane that begin at or after `from`.
pub(crate) fn lane_heads(
    connection: &Connection,
    lane: Lane,
    from: u64,
    most: usize,
) -> Result<Vec<Head>> {
    let (from, most) = (signed(from), signed(most as u64));
    match lane {
        Lane::Live => heads_of(connection, LIVE_HEADS, params![from, most]),
        other => heads_of(connection, OTHER_HEADS, params![from, most, lane_code(other)]),
    }
}

fn heads_of(connection: &Connection, query: &str, key: impl rusqlite::Params) -> Result<Vec<Head>> {
    let head = |row: &Row<'_>| {
        Ok(Head {
            first_seq: unsigned(row.get(0)?),
            // A damaged count or boot must not keep the row from being evicted.
            count: u32::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
            lane: lane_from(row.get(2)?),
            boot: u32::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            first_ms: row.get(4)?,
            last_ms: row.get(5)?,
            bytes: unsigned(row.get(6)?),
        })
    };
    let read = || {
        let mut select = connection.prepare_cached(query)?;
        select.query_map(key, head)?.collect::<rusqlite::Result<_>>()
    };
    read().map_err(sql("list segments"))
}

/// The sequence number after the last stored one.
pub(crate) fn next_seq(connection: &Connection) -> Result<u64> {
    let last = connection
        .query_row(LAST, [], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
        .optional()
        .map_err(sql("read the end of the log"))?;
    Ok(last.map_or(1, |(first, count)| first.saturating_add(count)))
}

/// The first sequence number that is in the log, or the next one if the log is empty.
pub(crate) fn oldest_seq(connection: &Connection) -> Result<u64> {
    let oldest: Option<i64> = connection
        .query_row(OLDEST, [], |row| row.get(0))
        .map_err(sql("read the start of the log"))?;
    oldest.map_or_else(|| next_seq(connection), |seq| Ok(unsigned(seq)))
}

/// The first number of the first segment that begins after `seq`.
pub(crate) fn first_after(connection: &Connection, seq: u64) -> Result<Option<u64>> {
    let next: Option<i64> = connection
        .query_row(AFTER, [signed(seq)], |row| row.get(0))
        .map_err(sql("read where the next segment begins"))?;
    Ok(next.map(unsigned))
}

pub(crate) fn pages(connection: &Connection) -> Result<Pages> {
    let read = || {
        connection.prepare_cached(PAGES)?.query_row([], |row| {
            let number = |at| row.get::<_, i64>(at).map(unsigned);
            Ok(Pages { all: number(0)?, free: number(1)?, bytes: number(2)? })
        })
    };
    read().map_err(sql("read the size of the log"))
}

/// Reads the extent of the journal without moving anything.
pub(crate) fn journal_extent(connection: &Connection) -> Result<Extent> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
        .and_then(|mut select| select.query_row([], extent_from))
        .map_err(sql("look at the journal of the log"))
}

/// Moves as much of the journal as possible into the file.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<Extent> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], extent_from)
        .map_err(sql("move the journal of the log into its file"))
}

fn extent_from(row: &Row<'_>) -> rusqlite::Result<Extent> {
    Ok(Extent { frames: unsigned(row.get(1)?), moved: unsigned(row.get(2)?) })
}

pub(crate) fn lane_code(lane: Lane) -> i64 {
    match lane {
        Lane::Alarm => 0,
        Lane::Live => 1,
        Lane::Backfill => 2,
    }
}

pub(crate) fn lane_from(code: i64) -> Lane {
    match code {
        0 => Lane::Alarm,
        1 => Lane::Live,
        _ => Lane::Backfill,
    }
}

fn checked(sound: bool, what: &'static str) -> Result<()> {
    if sound { Ok(()) } else { Err(StorageError::Checksum { what }) }
}
