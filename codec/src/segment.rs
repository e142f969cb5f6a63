//! Segments: readings of one lane, by sensor and by column.
//!
//! Readings are ordered by section, not by arrival: to keep the order between sensors inside one commit
//! would cost more than the values, and the times tell as much. A reading's sequence number is the first
//! number of the segment plus the reading's place in this order.
//!
//! Segments that were committed one after another can be merged, so that their columns are compressed as
//! one: ten readings are not enough to train the models. No reading changes its place by this. A merged
//! segment visits its sections in turns, once for each segment that was merged.
//!
//! A [`Segment`] is the builder for the encoder and the result of the decoder; [`crate::body`] encodes and
//! decodes it. Clearing keeps its allocations, because a busy log writes one segment after another into the
//! same memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::sensor::CHANNELS_MAX;
use crate::time::{Stamp, TimeBase};
use crate::value::{Value, ValueType};

/// The largest number of readings in one segment; it bounds the memory of a decoder.
pub const READINGS_MAX: usize = 65_536;
/// The largest number of values in one segment; it bounds the memory of a decoder, too.
pub const CELLS_MAX: usize = 16 * READINGS_MAX;

/// The bytes of a text that count as much as one value.
pub const TEXT_BYTES_PER_CELL: usize = 16;

/// The reason why bytes are not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A later version of the program wrote it.
    #[error("segment version {0} is not known to this program")]
    Version(u8),
    /// There is no body, or no reading in the requested range.
    #[error("segment is empty")]
    Empty,
    /// The checksum is wrong, or no encoder could have written this, or it refers to a sensor that is not
    /// described.
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

/// The values of one channel, and the rows that they belong to, ascending.
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
    /// The sections, ascending by sensor and time base. After clearing, some may be empty.
    pub(crate) sections: Vec<SensorSection>,
    pub(crate) count: usize,
    pub(crate) cells: usize,
    /// The order in which a merged segment visits its sections. If empty, each is visited once, in their
    /// order.
    pub(crate) turns: Vec<SectionTurn>,
    pub(crate) scratch: Vec<i64>,
}

/// One reading of a segment.
#[derive(Debug)]
pub struct ReadingView<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// The number of its sensor.
    pub sensor: u32,
    /// The time at which it was taken.
    pub stamp: Stamp,
    /// The values with their channels, in the order of the segment's columns.
    pub cells: &'a [(u16, &'a Value)],
}

impl Segment {
    /// The number of readings.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no readings.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of values of all readings; a long text counts as several.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Adds one reading. `cells` are its values with their channels; each channel should occur once. The
    /// segment must not be a merged one.
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

    /// Appends the readings of `next` and keeps the order of both: reading `n` of `next` becomes reading
    /// `len() + n`.
    ///
    /// Returns false without a change if both together would exceed the bounds of a segment. The caller
    /// must know that they belong together (lane, boot, consecutive numbers).
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
        // If each section is visited once and in order, the segment is the same as one of a single commit.
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

    /// Removes the readings and keeps the memory.
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

    /// The number of readings of each sensor, ascending by sensor. A sensor with two time bases occurs
    /// twice.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u64)> {
        self.filled().map(|section| (section.sensor, section.times.len() as u64))
    }

    /// The widest type among the values of each channel of each sensor.
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

    /// The turns in which the sections are visited.
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

    /// Calls `visit` for every reading in sequence order.
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
                // A hostile batch may state a number near the largest one, and that must not stop the
                // program.
                seq = seq.wrapping_add(1);
            }
        }
    }
}

/// The progress of a walk through a section.
struct Cursor {
    row: usize,
    /// The next position in each column.
    next: Vec<usize>,
}

impl Cursor {
    /// Moves to the next row: returns its time, and puts its values into `cells`.
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

    /// The number of channels of this section and `other` together.
    fn channels_with(&self, other: &SensorSection) -> usize {
        let known = |column: &&Column| self.columns.iter().any(|own| own.channel == column.channel);
        self.columns.len() + other.columns.len() - other.columns.iter().filter(known).count()
    }
}

impl Column {
    /// Sets the value of a row. If a reading has a channel twice, the last value counts.
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

/// The room of a segment that a value takes, in values.
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

/// Finds or adds the column of a channel. `place` is where it is expected: the channels come in the same
/// order in nearly every reading of a sensor.
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
