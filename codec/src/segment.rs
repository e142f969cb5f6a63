//! Segments: readings of one lane, by sensor and by column.
//!
//! Readings are ordered by section, not by arrival: the order between sensors inside one commit
//! would cost more than the values, and tells nothing the times do not. A reading's sequence
//! number is the segment's first plus its place in this order.
//!
//! Segments that were committed one after another can be merged, so that their columns compress as
//! one: ten readings are not enough to learn from. No reading changes its place by that. A merged
//! segment visits its sections in turns, once for each that was merged.
//!
//! A [`Segment`] is both the builder on the way in and the content on the way out; [`crate::body`]
//! writes and reads it. Clearing keeps its allocations: a busy log writes one segment after another
//! into the same memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::sensor::CHANNELS_MAX;
use crate::time::{Stamp, TimeBase};
use crate::value::{Value, ValueType};

/// The most readings of one segment: bounds the memory of whoever decodes it.
pub const READINGS_MAX: usize = 65_536;
/// The most values of one segment, for the same reason.
pub const CELLS_MAX: usize = 16 * READINGS_MAX;

/// So many bytes of text weigh as much as one value.
pub const TEXT_BYTES_PER_CELL: usize = 16;

/// Why bytes are no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A later program wrote it.
    #[error("segment version {0} is not known to this program")]
    Version(u8),
    /// There is no body, or nothing of it was asked for.
    #[error("segment is empty")]
    Empty,
    /// The checksum is wrong, or no encoder wrote this, or it refers to what is not described.
    #[error("segment does not hold what it announces")]
    Malformed,
}

/// The readings of one sensor on one time base.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SensorSection {
    pub sensor: u32,
    pub base: TimeBase,
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

/// The values of one channel and the rows they belong to, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub channel: u16,
    pub rows: Vec<u32>,
    pub values: Vec<Value>,
}

/// The next `rows` readings of one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionTurn {
    pub sensor: u32,
    pub base: TimeBase,
    pub rows: usize,
}

/// Readings of one lane, by sensor and by column.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// Ascending by sensor and base; of a cleared segment some are empty.
    pub(crate) sections: Vec<SensorSection>,
    pub(crate) count: usize,
    pub(crate) cells: usize,
    /// How a merged segment visits its sections. Empty: each once, in their order.
    pub(crate) turns: Vec<SectionTurn>,
    pub(crate) scratch: Vec<i64>,
}

/// One reading as a receiver sees it.
#[derive(Debug)]
pub struct ReadingView<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// The number of its sensor.
    pub sensor: u32,
    /// When it was taken.
    pub stamp: Stamp,
    /// (channel, value), in the order of the segment's columns.
    pub cells: &'a [(u16, &'a Value)],
}

impl Segment {
    /// How many readings it holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values the readings have together; long texts weigh as several.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Adds one reading; `cells` are (channel, value), each channel once.
    pub fn push(&mut self, sensor: u32, stamp: Stamp, cells: impl Iterator<Item = (u16, Value)>) {
        debug_assert!(self.turns.is_empty(), "the order of a merged segment is settled");
        let section = section_of(&mut self.sections, sensor, stamp.base);
        let row = row(section.times.len());
        section.times.push(stamp.ms);
        for (place, (channel, value)) in cells.enumerate() {
            let column = column_of(&mut section.columns, place, channel);
            self.cells += weight(&value);
            column.set(row, value);
        }
        self.count += 1;
    }

    /// Appends the readings of `next` behind its own, keeping the order of both: what was reading
    /// `n` of `next` becomes reading `len() + n`.
    ///
    /// False, and nothing has changed, where both together would exceed the bounds of a segment.
    /// Whether they belong together (lane, boot, consecutive numbers) is for the caller to know.
    #[must_use]
    pub fn append(&mut self, next: &Segment) -> bool {
        if !self.has_room_for(next) {
            return false;
        }
        if self.turns.is_empty() {
            self.turns = self.turns().into_owned();
        }
        let turns = &mut self.turns;
        for turn in next.turns().iter() {
            match turns.last_mut() {
                Some(last) if last.section() == turn.section() => last.rows += turn.rows,
                _ => turns.push(*turn),
            }
        }
        for section in next.filled() {
            section_of(&mut self.sections, section.sensor, section.base).append(section);
        }
        // What visits each section once and in their order is no different from one commit.
        if self.turns.is_sorted_by(|turn, next| turn.section() < next.section()) {
            self.turns.clear();
        }
        self.count += next.count;
        self.cells += next.cells;
        true
    }

    fn has_room_for(&self, next: &Segment) -> bool {
        self.count + next.count <= READINGS_MAX
            && self.cells + next.cells <= CELLS_MAX
            && next.filled().all(|section| {
                let place = place_of(&self.sections, section.sensor, section.base);
                place.map_or(true, |at| self.sections[at].channels_with(section) <= CHANNELS_MAX)
            })
    }

    /// Forgets the readings, keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.cells = 0;
        self.turns.clear();
        for section in &mut self.sections {
            section.times.clear();
            for column in &mut section.columns {
                column.rows.clear();
                column.values.clear();
            }
        }
    }

    /// How many readings it has of each sensor, ascending.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u64)> {
        self.filled().map(|section| (section.sensor, section.times.len() as u64))
    }

    /// The widest kind of value that each channel of each sensor shows.
    pub fn channel_kinds(&self) -> BTreeMap<u32, BTreeMap<u16, ValueType>> {
        let mut kinds = BTreeMap::<u32, BTreeMap<u16, ValueType>>::new();
        for section in self.filled() {
            let channels = kinds.entry(section.sensor).or_default();
            for column in &section.columns {
                let widest = column.values.iter().map(Value::kind).max();
                let known = channels.get(&column.channel).copied();
                if let Some(kind) = widest.max(known) {
                    channels.insert(column.channel, kind);
                }
            }
        }
        kinds
    }

    pub(crate) fn filled(&self) -> impl Iterator<Item = &SensorSection> {
        self.sections.iter().filter(|section| !section.times.is_empty())
    }

    /// In which order the sections are visited.
    pub(crate) fn turns(&self) -> Cow<'_, [SectionTurn]> {
        if !self.turns.is_empty() {
            return Cow::Borrowed(&self.turns);
        }
        let whole = |section: &SensorSection| SectionTurn {
            sensor: section.sensor,
            base: section.base,
            rows: section.times.len(),
        };
        self.filled().map(whole).collect()
    }

    /// Visits every reading in sequence order.
    pub fn for_each(&self, first_seq: u64, mut visit: impl FnMut(ReadingView<'_>)) {
        let start =
            |section: &SensorSection| Cursor { row: 0, next: vec![0; section.columns.len()] };
        let mut cursors: Vec<Cursor> = self.sections.iter().map(start).collect();
        let (mut seq, mut cells) = (first_seq, Vec::new());
        for turn in self.turns().iter() {
            let Ok(at) = place_of(&self.sections, turn.sensor, turn.base) else { continue };
            for _ in 0..turn.rows {
                let stamp = Stamp {
                    base: turn.base,
                    ms: cursors[at].advance(&self.sections[at], &mut cells),
                };
                visit(ReadingView { seq, sensor: turn.sensor, stamp, cells: &cells });
                // Whoever states a number near the end of all numbers does not stop the program.
                seq = seq.wrapping_add(1);
            }
        }
    }
}

/// How far a section has been visited.
struct Cursor {
    row: usize,
    /// The position of each column.
    next: Vec<usize>,
}

impl Cursor {
    /// The time of the next row, and its values into `cells`.
    fn advance<'a>(
        &mut self,
        section: &'a SensorSection,
        cells: &mut Vec<(u16, &'a Value)>,
    ) -> i64 {
        cells.clear();
        for (column, next) in section.columns.iter().zip(&mut self.next) {
            if column.rows.get(*next).is_some_and(|at| *at as usize == self.row) {
                cells.push((column.channel, &column.values[*next]));
                *next += 1;
            }
        }
        self.row += 1;
        section.times[self.row - 1]
    }
}

impl SectionTurn {
    pub(crate) fn section(&self) -> (u32, TimeBase) {
        (self.sensor, self.base)
    }
}

impl SensorSection {
    fn append(&mut self, next: &SensorSection) {
        let before = row(self.times.len());
        self.times.extend(&next.times);
        for (place, other) in next.columns.iter().enumerate() {
            let column = column_of(&mut self.columns, place, other.channel);
            column.rows.extend(other.rows.iter().map(|row| before + row));
            column.values.extend_from_slice(&other.values);
        }
    }

    /// How many channels it and another have together.
    fn channels_with(&self, other: &SensorSection) -> usize {
        let known = |column: &&Column| self.columns.iter().any(|own| own.channel == column.channel);
        self.columns.len() + other.columns.len() - other.columns.iter().filter(known).count()
    }
}

impl Column {
    /// A channel given twice in one reading has the last of its values.
    fn set(&mut self, row: u32, value: Value) {
        match self.values.last_mut() {
            Some(last) if self.rows.last() == Some(&row) => *last = value,
            _ => {
                self.rows.push(row);
                self.values.push(value);
            }
        }
    }
}

/// How much of a segment's room a value takes.
pub fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / TEXT_BYTES_PER_CELL,
        _ => 1,
    }
}

fn row(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn place_of(sections: &[SensorSection], sensor: u32, base: TimeBase) -> Result<usize, usize> {
    sections.binary_search_by_key(&(sensor, base), |section| (section.sensor, section.base))
}

fn section_of(
    sections: &mut Vec<SensorSection>,
    sensor: u32,
    base: TimeBase,
) -> &mut SensorSection {
    let at = place_of(sections, sensor, base).unwrap_or_else(|at| {
        sections.insert(at, SensorSection { sensor, base, times: Vec::new(), columns: Vec::new() });
        at
    });
    &mut sections[at]
}

/// Channels come in the same order in every reading of a sensor, so `place` is nearly always right.
fn column_of(columns: &mut Vec<Column>, place: usize, channel: u16) -> &mut Column {
    if columns.get(place).is_some_and(|column| column.channel == channel) {
        return &mut columns[place];
    }
    let known = columns.iter().position(|column| column.channel == channel);
    let at = known.unwrap_or_else(|| {
        columns.push(Column { channel, rows: Vec::new(), values: Vec::new() });
        columns.len() - 1
    });
    &mut columns[at]
}

#[cfg(test)]
mod tests;
