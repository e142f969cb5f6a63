//! Recognises the records that are rows of the log, and ranks how credible a row is.

use outstation_codec::{Lane, Moment, StoredSegment};

use super::frames::ImageSource;
use super::images::Image;
use super::pages::{ColumnClass, ColumnValue, Tree};
use crate::domain::model::event::Stream;
use crate::event_log::store::commit::NewSegment;
use crate::event_log::store::rows::{EventRow, MetaRow, QuarantineRow, SnapshotRow};

/// The credibility of a row. Of two rows that contradict each other, the one with the lesser rank counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) source: ImageSource,
    /// The later the image, the smaller this number.
    age: u32,
}

impl Rank {
    pub(crate) fn new(source: ImageSource, image: Image) -> Self {
        Self { source, age: u32::MAX - image }
    }
}

/// A row that was found, with its rank.
#[derive(Clone, Debug)]
pub(crate) struct RankedRow<T> {
    pub(crate) row: T,
    pub(crate) rank: Rank,
}

/// The place where a row begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLocation {
    pub(crate) image: Image,
    /// The offset of its cell on the page.
    pub(crate) at: u32,
    pub(crate) tree: Tree,
}

/// A sound segment, without its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundSegment {
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) crc: u32,
    pub(crate) rank: Rank,
    pub(crate) place: RowLocation,
}

impl FoundSegment {
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    pub(crate) fn new(new: &NewSegment, rank: Rank, place: RowLocation) -> Self {
        let segment = &new.segment;
        Self { first_seq: segment.first_seq, count: segment.count, crc: segment.crc, rank, place }
    }
}

/// A row of one of the log's tables.
#[derive(Debug)]
pub(crate) enum DecodedRow {
    Meta(MetaRow),
    Segment(NewSegment),
    Event(EventRow),
    Snapshot(SnapshotRow),
    Quarantined(QuarantineRow),
}

/// Says whether a row of the log can have these columns.
pub(crate) fn can_be_ours(tree: Tree, columns: &[ColumnClass]) -> bool {
    use ColumnClass::{Blob, Int, Null, Text};
    matches!(
        (tree, columns),
        (
            Tree::Table,
            [Null, Int, Int, Int, Int, Int, Int, Blob]
                | [Null, Int, Int, Blob, Int]
                | [Text, Int, Int, Int, Int, Int, Int, Int, Text, Blob, Int],
        ) | (
            Tree::Index,
            [Text, Int, Int, Int, Text, Blob, Null | Int, Int] | [Text, Int, Blob, Int],
        )
    )
}

/// Decodes a row; `None` if its checksum does not hold.
pub(crate) fn decode(tree: Tree, rowid: u64, columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    match tree {
        Tree::Table => segment(rowid, columns)
            .or_else(|| meta(rowid, columns))
            .or_else(|| quarantined(columns)),
        Tree::Index => event(columns).or_else(|| snapshot(columns)),
    }
}

fn segment(rowid: u64, columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    use ColumnValue::{Blob, Int, Null};
    let [Null, Int(count), Int(lane), Int(boot), Int(first_ms), Int(last_ms), Int(crc), Blob(body)] =
        *columns
    else {
        return None;
    };
    let segment = StoredSegment {
        first_seq: rowid,
        count: count.try_into().ok()?,
        lane: lane_of(lane)?,
        boot: boot.try_into().ok()?,
        crc: crc.try_into().ok()?,
        body: body.to_vec(),
    };
    // SQL has no unsigned numbers, and sequence numbers start at one.
    let is_numbered = rowid > 0 && i64::try_from(rowid).is_ok();
    (is_numbered && segment.is_sound()).then_some(DecodedRow::Segment(NewSegment {
        segment,
        first_ms,
        last_ms,
    }))
}

fn lane_of(code: i64) -> Option<Lane> {
    match code {
        0 => Some(Lane::Alarm),
        1 => Some(Lane::Live),
        2 => Some(Lane::Backfill),
        _ => None,
    }
}

fn quarantined(columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    use ColumnValue::{Blob, Int, Text};
    let &[
        Text(sink),
        Int(first_seq),
        Int(count),
        Int(lane),
        Int(boot),
        Int(at_boot),
        Int(ms),
        Int(replayed),
        Text(reason),
        Blob(body),
        Int(crc),
    ] = columns
    else {
        return None;
    };
    let (first_seq, count) = (first_seq.try_into().ok()?, count.try_into().ok()?);
    let (lane, boot) = (lane_of(lane)?, boot.try_into().ok()?);
    let row = QuarantineRow {
        sink: sink.to_owned(),
        segment: StoredSegment::sealed(first_seq, count, lane, boot, body.to_vec()),
        at: Moment { boot: at_boot.try_into().ok()?, ms },
        replayed: replayed != 0,
        reason: reason.to_owned(),
    };
    let is_sound = first_seq > 0 && count > 0 && crc == i64::from(row.checksum());
    is_sound.then_some(DecodedRow::Quarantined(row))
}

fn meta(rowid: u64, columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    use ColumnValue::{Blob, Int, Null};
    let [Null, Int(epoch), Int(format), Blob(file), Int(crc)] = *columns else { return None };
    let (epoch, format) = (epoch.try_into().ok()?, format.try_into().ok()?);
    let row = MetaRow { epoch, format, file: file.to_vec() };
    (rowid == 1 && crc == i64::from(row.checksum())).then_some(DecodedRow::Meta(row))
}

fn event(columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    use ColumnValue::{Blob, Int, Null, Text};
    let [
        Text(stream),
        Int(version),
        Int(boot),
        Int(at_ms),
        Text(_),
        Blob(data),
        position @ (Null | Int(_)),
        Int(crc),
    ] = *columns
    else {
        return None;
    };
    let row = EventRow {
        stream: Stream::named(stream.to_owned()),
        version: version.try_into().ok()?,
        boot: boot.try_into().ok()?,
        at_ms,
        position: match position {
            Int(position) => Some(position.try_into().ok()?),
            _ => None,
        },
        data: data.to_vec(),
    };
    (crc == i64::from(row.checksum())).then_some(DecodedRow::Event(row))
}

fn snapshot(columns: &[ColumnValue<'_>]) -> Option<DecodedRow> {
    use ColumnValue::{Blob, Int, Text};
    let [Text(stream), Int(version), Blob(data), Int(crc)] = *columns else { return None };
    let row = SnapshotRow {
        stream: Stream::named(stream.to_owned()),
        version: version.try_into().ok()?,
        data: data.to_vec(),
    };
    (crc == i64::from(row.checksum())).then_some(DecodedRow::Snapshot(row))
}
