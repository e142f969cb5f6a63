//! The readings in quarantine in the log file: the table `quarantine`.
//!
//! They are copies, because the segments they were part of leave the log. The aggregates record which of
//! them are kept; the table is made to follow.

use std::collections::BTreeMap;

use outstation_codec::{Moment, StoredSegment};
use rusqlite::{Connection, Row, params};

use super::error::{Result, signed, sql, unsigned};
use super::queries::{lane_code, lane_from};
use super::rows::QuarantineRow;
use super::space::ROW_BYTES;
use crate::domain::model::interval_set::IntervalSet;

/// Starts at the row that holds the number, if there is one.
pub(crate) const COPIES: &str = "SELECT rowid, sink, first_seq, count, lane, boot, at_boot, at_ms, replayed, reason, body, crc \
     FROM quarantine WHERE sink = ?1 AND first_seq >= coalesce(\
        (SELECT max(first_seq) FROM quarantine WHERE sink = ?1 AND first_seq <= ?2), ?2) \
     ORDER BY first_seq";
/// Reads all rows: as many as `quarantine_readings` allows.
pub(crate) const COPIED: &str = "SELECT sink, first_seq, count FROM quarantine";
pub(crate) const COPIED_BYTES: &str = "SELECT coalesce(sum(octet_length(body) + octet_length(reason) + octet_length(sink)), 0), count(*) \
     FROM quarantine";

/// One change of the copies in the next commit. The order of changes matters.
#[derive(Clone, Debug)]
pub(crate) enum CopyChange {
    Keep(QuarantineRow),
    /// Marks these numbers as being offered again.
    Mark {
        sink: String,
        first: u64,
        last: u64,
    },
    Remove {
        sink: String,
        first: u64,
        last: u64,
    },
}

/// What the table holds, read without checking the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Sequence numbers by sink.
    pub(crate) numbers: BTreeMap<String, IntervalSet>,
    pub(crate) bytes: u64,
}

/// The bytes that a row adds to the file.
pub(crate) fn bytes_of(row: &QuarantineRow) -> u64 {
    (row.segment.body.len() + row.reason.len() + row.sink.len()) as u64 + 2 * ROW_BYTES
}

pub(crate) fn copied(connection: &Connection) -> Result<Copied> {
    let reading = sql("list the readings in quarantine");
    let mut intervals = BTreeMap::<String, Vec<(u64, u64)>>::new();
    let mut select = connection.prepare(COPIED).map_err(&reading)?;
    let mut rows = select.query([]).map_err(&reading)?;
    while let Some(row) = rows.next().map_err(&reading)? {
        let of_row = || Ok::<_, rusqlite::Error>((text(row, 0)?, number(row, 1)?, number(row, 2)?));
        // A row that cannot be read as one holds no copy.
        let Ok((sink, first, count)) = of_row() else { continue };
        intervals.entry(sink).or_default().push((first, first.saturating_add(count.max(1)) - 1));
    }
    let numbers = intervals.into_iter().map(|(sink, all)| (sink, IntervalSet::of(&all))).collect();
    Ok(Copied { numbers, bytes: copied_bytes(connection)? })
}

pub(crate) fn copied_bytes(connection: &Connection) -> Result<u64> {
    let read = || {
        connection
            .prepare_cached(COPIED_BYTES)?
            .query_row([], |row| Ok(number(row, 0)? + 2 * ROW_BYTES * number(row, 1)?))
    };
    read().map_err(sql("measure the quarantine"))
}

/// Visits the copies of a sink, each with whether it is sound, from the one that holds `from` or the next,
/// until `visit` returns false.
pub(crate) fn each(
    connection: &Connection,
    sink: &str,
    from: u64,
    mut visit: impl FnMut(QuarantineRow, bool) -> bool,
) -> Result<()> {
    let reading = sql("read the quarantine");
    let mut select = connection.prepare_cached(COPIES).map_err(&reading)?;
    let mut rows = select.query(params![sink, signed(from)]).map_err(&reading)?;
    while let Some(row) = rows.next().map_err(&reading)? {
        let Ok((copy, sound)) = copy_from(row) else { continue };
        if end_of(&copy) >= from && !visit(copy, sound) {
            break;
        }
    }
    Ok(())
}

pub(crate) fn apply(connection: &Connection, change: &CopyChange) -> Result<()> {
    let writing = sql("write the quarantine");
    match change {
        CopyChange::Keep(row) => {
            let (first, last) = (row.segment.first_seq, row.segment.last_seq());
            take(connection, &row.sink, first, last)?;
            insert(connection, row).map_err(writing)
        }
        CopyChange::Remove { sink, first, last } => take(connection, sink, *first, *last).map(drop),
        CopyChange::Mark { sink, first, last } => {
            for taken in take(connection, sink, *first, *last)? {
                insert(connection, &QuarantineRow { replayed: true, ..taken }).map_err(&writing)?;
            }
            Ok(())
        }
    }
}

/// Removes these numbers and returns the sound copies of them. A damaged copy is removed whole.
fn take(connection: &Connection, sink: &str, first: u64, last: u64) -> Result<Vec<QuarantineRow>> {
    let writing = sql("write the quarantine");
    let mut found = Vec::new();
    {
        let mut select = connection.prepare_cached(COPIES).map_err(&writing)?;
        let mut rows = select.query(params![sink, signed(first)]).map_err(&writing)?;
        while let Some(row) = rows.next().map_err(&writing)? {
            let rowid: i64 = row.get(0).map_err(&writing)?;
            match copy_from(row) {
                Ok((copy, _)) if copy.segment.first_seq > last => break,
                Ok((copy, _)) if end_of(&copy) < first => {}
                Ok((copy, sound)) => found.push((rowid, Some(copy).filter(|_| sound))),
                Err(_) => found.push((rowid, None)),
            }
        }
    }
    let mut taken = Vec::new();
    for (rowid, copy) in found {
        connection
            .prepare_cached("DELETE FROM quarantine WHERE rowid = ?1")
            .and_then(|mut delete| delete.execute([rowid]))
            .map_err(&writing)?;
        let Some(copy) = copy else { continue };
        let segment = &copy.segment;
        let rest = [(segment.first_seq, first.saturating_sub(1)), (last + 1, segment.last_seq())];
        for (first, last) in rest {
            // A copy that does not decode can neither be divided nor offered.
            if let Ok(part) = copy.cut(first, last) {
                insert(connection, &part).map_err(&writing)?;
            }
        }
        taken.extend(copy.cut(first, last));
    }
    Ok(taken)
}

fn insert(connection: &Connection, row: &QuarantineRow) -> rusqlite::Result<()> {
    let segment = &row.segment;
    connection
        .prepare_cached(
            "INSERT INTO quarantine (sink, first_seq, count, lane, boot, at_boot, at_ms, replayed, \
             reason, body, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            row.sink,
            signed(segment.first_seq),
            segment.count,
            lane_code(segment.lane),
            segment.boot,
            row.at.boot,
            row.at.ms,
            row.replayed,
            row.reason,
            segment.body,
            row.checksum(),
        ])
        .map(drop)
}

/// The last number of a copy. A damaged one counts as at least one reading.
fn end_of(copy: &QuarantineRow) -> u64 {
    copy.segment.last_seq().max(copy.segment.first_seq)
}

/// Reads a copy, and says whether it is what was written.
fn copy_from(row: &Row<'_>) -> rusqlite::Result<(QuarantineRow, bool)> {
    // A number that is out of range becomes 0 and then fails the checksum.
    let small = |at| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(at)?).unwrap_or(0));
    let (first_seq, lane) = (number(row, 2)?, lane_from(row.get(4)?));
    let segment = StoredSegment::sealed(first_seq, small(3)?, lane, small(5)?, row.get(10)?);
    let copy = QuarantineRow {
        sink: text(row, 1)?,
        segment,
        at: Moment { boot: small(6)?, ms: row.get(7)? },
        replayed: row.get::<_, i64>(8)? != 0,
        reason: text(row, 9)?,
    };
    let crc: i64 = row.get(11)?;
    let sound = crc == i64::from(copy.checksum()) && copy.segment.count > 0;
    Ok((copy, sound))
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get(at).map(unsigned)
}

/// Reads a text. One that is not UTF-8 any more fails the checksum.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(at)?.as_bytes().map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
