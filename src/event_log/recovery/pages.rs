//! SQLite's file format, as far as it is needed to read rows from single pages. All functions are pure and
//! accept any bytes.
//!
//! A page is given as the bytes that there are of it (a truncated file ends within one) and the size it
//! should have. What a page says about itself is only a claim; the reader of a row must check its checksum.
//! See <https://www.sqlite.org/fileformat2.html>, sections 1.6 and 2.1.

use std::ops::Range;

/// The most bytes of a record. It is more than any row of the log has: a body has at most 16 MiB of text
/// and a million values.
const PAYLOAD_MAX: usize = 32 << 20;
/// The most columns of a table of the log.
const COLUMNS_MAX: usize = 11;
/// How many bytes of the file precede the tree of its first page.
const FILE_HEADER: usize = 100;

/// The two kinds of tree: rows by number, and rows by their own key (`WITHOUT ROWID`, indexes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Table,
    Index,
}

/// A row on a page, as its first bytes describe it.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The number of the row; 0 in an index.
    pub(crate) rowid: u64,
    /// The bytes of the record, overflow included.
    pub(crate) total: usize,
    /// The part of the page that holds the start of the record.
    pub(crate) local: Range<usize>,
    /// The page on which the record continues.
    pub(crate) overflow: Option<u32>,
}

impl Cell {
    /// Reads the cell whose payload length is at the offset `at`.
    pub(crate) fn parse(page: &[u8], size: usize, at: usize, tree: Tree) -> Option<Self> {
        let (total, mut length) = varint(page.get(at..)?)?;
        let total =
            usize::try_from(total).ok().filter(|total| (1..=PAYLOAD_MAX).contains(total))?;
        let mut rowid = 0;
        if tree == Tree::Table {
            let (value, more) = varint(page.get(at + length..)?)?;
            (rowid, length) = (value, length + more);
        }
        let start = at + length;
        let local = local_bytes(total, size, tree);
        let end = start + local;
        if end > page.len() {
            return None;
        }
        let overflow = if local < total { Some(be32(page, end)?) } else { None };
        Some(Self { rowid, total, local: start..end, overflow })
    }

    pub(crate) fn end(&self) -> usize {
        self.local.end + if self.overflow.is_some() { 4 } else { 0 }
    }
}

/// How many bytes of a record are on the page of the tree. The rest is on overflow pages.
fn local_bytes(total: usize, size: usize, tree: Tree) -> usize {
    let max = match tree {
        Tree::Table => size - 35,
        Tree::Index => (size - 12) * 64 / 255 - 23,
    };
    if total <= max {
        return total;
    }
    let min = (size - 12) * 32 / 255 - 23;
    let filled = min + (total - min) % (size - 4);
    if filled <= max { filled } else { min }
}

/// How a page of a tree is divided, according to its own directory.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The offset of the payload length of each cell that can be read.
    pub(crate) cells: Vec<(usize, Tree)>,
    /// The parts that no cell uses. Earlier rows may still be there.
    pub(crate) spare: Vec<Range<usize>>,
    /// Whether every byte of the page is accounted for exactly once, so that no row can be elsewhere.
    pub(crate) sound: bool,
}

/// Reads the directory of a page; `None` if it is not the page of a tree.
pub(crate) fn layout(page: &[u8], size: usize, is_first: bool) -> Option<Layout> {
    let at = if is_first { FILE_HEADER } else { 0 };
    let (tree, is_leaf) = match page.get(at)? {
        0x0D => (Tree::Table, true),
        0x0A => (Tree::Index, true),
        0x05 => (Tree::Table, false),
        0x02 => (Tree::Index, false),
        _ => return None,
    };
    let count = usize::from(be16(page, at + 3)?);
    let directory = at + if is_leaf { 8 } else { 12 };
    let gap = directory + 2 * count;
    let content = match usize::from(be16(page, at + 5)?) {
        0 => 65536,
        content => content,
    };
    let mut layout = Layout { sound: gap <= content && content <= size, ..Layout::default() };
    let mut used = vec![0..gap, gap..content];
    for pointer in (directory..gap).step_by(2) {
        let Some(cell) = be16(page, pointer).map(usize::from) else { break };
        let end = if is_leaf || tree == Tree::Index {
            let payload = if is_leaf { cell } else { cell + 4 };
            Cell::parse(page, size, payload, tree).map(|found| {
                layout.cells.push((payload, tree));
                found.end()
            })
        } else {
            page.get(cell + 4..).and_then(varint).map(|(_, length)| cell + 4 + length)
        };
        match end {
            // A freed cell must have room for the header of a free block.
            Some(end) => used.push(cell..end.max(cell + 4)),
            None => layout.sound = false,
        }
    }
    let free = free_blocks(page, size, usize::from(be16(page, at + 1)?));
    layout.sound &= free.is_some();
    let free = free.unwrap_or_default();
    used.extend(free.iter().cloned());
    let fragments = usize::from(*page.get(at + 7)?);
    layout.sound &= page.len() == size && fills(&mut used, size, fragments);
    if layout.sound {
        layout.spare = free;
        layout.spare.push(gap..content);
    }
    Some(layout)
}

/// Reads the chain of free blocks, which ascends; `None` if it is broken.
fn free_blocks(page: &[u8], size: usize, first: usize) -> Option<Vec<Range<usize>>> {
    let (mut found, mut at, mut after) = (Vec::new(), first, 0);
    while at != 0 {
        let end = at + usize::from(be16(page, at + 2)?);
        if at < after || end < at + 4 || end > size {
            return None;
        }
        found.push(at..end);
        (at, after) = (usize::from(be16(page, at)?), end);
    }
    Some(found)
}

/// Says whether the parts do not overlap and leave exactly `rest` bytes of the page.
fn fills(parts: &mut [Range<usize>], size: usize, rest: usize) -> bool {
    parts.sort_by_key(|part| (part.start, part.end));
    let apart = parts.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let within = parts.iter().all(|part| part.start <= part.end && part.end <= size);
    apart && within && parts.iter().map(ExactSizeIterator::len).sum::<usize>() + rest == size
}

/// The kind of a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnClass {
    Null,
    Int,
    Text,
    Blob,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnValue<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// The header of a record, with the kind and the length of each column.
#[derive(Debug)]
pub(crate) struct RecordHeader {
    header: usize,
    count: usize,
    classes: [ColumnClass; COLUMNS_MAX],
    widths: [usize; COLUMNS_MAX],
    types: [u64; COLUMNS_MAX],
}

impl RecordHeader {
    /// Reads the header from the first bytes of a record; `None` if its columns do not fill `total` bytes
    /// exactly.
    pub(crate) fn parse(local: &[u8], total: usize) -> Option<Self> {
        let header = usize::from(*local.first()?);
        // With so few columns, of at most five bytes each, the length takes one byte. Most rows of page 1,
        // and most bytes that are no row, fail this check.
        if !(2..=1 + 5 * COLUMNS_MAX).contains(&header) {
            return None;
        }
        let empty = [0; COLUMNS_MAX];
        let classes = [ColumnClass::Null; COLUMNS_MAX];
        let mut record = Self { header, count: 0, classes, widths: [0; COLUMNS_MAX], types: empty };
        let (mut at, mut sum) = (1, header);
        while at < header {
            let (code, length) = varint(local.get(at..header)?)?;
            let (class, width) = class_of(code)?;
            *record.classes.get_mut(record.count)? = class;
            record.widths[record.count] = width;
            record.types[record.count] = code;
            record.count += 1;
            at += length;
            sum += width;
        }
        (at == header && sum == total).then_some(record)
    }

    pub(crate) fn classes(&self) -> &[ColumnClass] {
        &self.classes[..self.count]
    }

    /// Reads the columns of a whole record.
    pub(crate) fn values<'a>(&self, payload: &'a [u8]) -> Option<Vec<ColumnValue<'a>>> {
        let mut at = self.header;
        let mut values = Vec::with_capacity(self.count);
        for column in 0..self.count {
            let bytes = payload.get(at..at + self.widths[column])?;
            at += bytes.len();
            values.push(match self.classes[column] {
                ColumnClass::Null => ColumnValue::Null,
                ColumnClass::Int if self.types[column] == 9 => ColumnValue::Int(1),
                ColumnClass::Int => ColumnValue::Int(integer(bytes)),
                ColumnClass::Text => ColumnValue::Text(std::str::from_utf8(bytes).ok()?),
                ColumnClass::Blob => ColumnValue::Blob(bytes),
            });
        }
        Some(values)
    }
}

/// No table of the log holds a real number (7), and 10 and 11 do not occur in files.
fn class_of(code: u64) -> Option<(ColumnClass, usize)> {
    Some(match code {
        0 => (ColumnClass::Null, 0),
        1 => (ColumnClass::Int, 1),
        2 => (ColumnClass::Int, 2),
        3 => (ColumnClass::Int, 3),
        4 => (ColumnClass::Int, 4),
        5 => (ColumnClass::Int, 6),
        6 => (ColumnClass::Int, 8),
        8 | 9 => (ColumnClass::Int, 0),
        7 | 10 | 11 => return None,
        code => {
            let width =
                usize::try_from((code - 12) / 2).ok().filter(|width| *width <= PAYLOAD_MAX)?;
            (if code % 2 == 0 { ColumnClass::Blob } else { ColumnClass::Text }, width)
        }
    })
}

/// A big-endian number in two's complement, of up to eight bytes; zero if there are none.
fn integer(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = [if is_negative { 0xFF } else { 0 }; 8];
    all[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_be_bytes(all)
}

/// Reads SQLite's variable-length number and returns it with its length. Short encodings never begin with a
/// zero; one that does was read from a byte too early.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((first.into(), 1));
    }
    let mut value = u64::from(first & 0x7F);
    for (at, byte) in bytes.iter().enumerate().take(8).skip(1) {
        value = value << 7 | u64::from(byte & 0x7F);
        if *byte < 0x80 {
            return (first != 0x80).then_some((value, at + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}
