//! The segment codec: readings committed together, by sensor and by column.
//!
//! ```text
//! body    = version (1 byte) , range-coded stream
//! stream  = number of sections , head … , section …
//! head    = sensor id , time base , count
//! section = times , number of columns , column …
//! column  = channel , which rows have it (unless all) , values
//! ```
//!
//! All heads come first, so that what a segment is about can be known without decoding it.
//!
//! Readings are ordered by section, not by arrival: the order between sensors inside one commit
//! would cost more than the values, and tells nothing the times do not. A reading's sequence
//! number is the segment's first plus its place in this order.
//!
//! A [`Segment`] is both the builder on the way in and the content on the way out. Clearing keeps
//! its allocations: a busy log writes one segment after another into the same memory.

use super::coder::{Bit, Decoder, Encoder, Number};
use super::column::{Ints, Values};
use super::reading::{CHANNELS_MAX, Stamp, TimeBase, Value};

/// The first byte of every body.
pub const VERSION: u8 = 1;
/// The most readings of one segment: bounds the memory of whoever decodes it.
pub const READINGS_MAX: usize = 65_536;
/// The most values of one segment, for the same reason.
pub const CELLS_MAX: usize = 16 * READINGS_MAX;

/// The most bytes of distinct text in one segment. Encoders stay far below: see [`Segment::cells`].
const TEXT_BYTES_MAX: usize = 16 << 20;
/// So many bytes of text weigh as much as one value.
const TEXT_BYTES_PER_CELL: usize = 16;

/// Value models are shared by channel position up to here; later channels wrap around.
const MODELS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("segment version {0} is not known to this program")]
    Version(u8),
    #[error("segment is empty")]
    Empty,
    #[error("segment does not hold what it announces")]
    Malformed,
}

/// The readings of one sensor on one time base.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub sensor: u32,
    pub base: TimeBase,
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

/// The values of one channel and the rows they belong to, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub channel: u16,
    pub rows: Vec<u32>,
    pub values: Vec<Value>,
}

/// Readings of one lane, by sensor and by column.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    sections: Vec<Section>,
    count: usize,
    cells: usize,
    scratch: Vec<i64>,
}

/// One reading as a receiver sees it.
#[derive(Debug)]
pub struct ReadingView<'a> {
    pub seq: u64,
    pub sensor: u32,
    pub stamp: Stamp,
    /// (channel, value), in the order of the segment's columns.
    pub cells: &'a [(u16, &'a Value)],
}

impl Segment {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values the readings have together; long texts weigh as several.
    pub fn cells(&self) -> usize {
        self.cells
    }

    pub fn push(&mut self, sensor: u32, stamp: Stamp, cells: impl Iterator<Item = (u16, Value)>) {
        let section = section_of(&mut self.sections, sensor, stamp.base);
        let row = u32::try_from(section.times.len()).unwrap_or(u32::MAX);
        section.times.push(stamp.ms);
        for (place, (channel, value)) in cells.enumerate() {
            let column = column_of(&mut section.columns, place, channel);
            self.cells += weight(&value);
            column.set(row, value);
        }
        self.count += 1;
    }

    /// Forgets the readings, keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.cells = 0;
        for section in &mut self.sections {
            section.times.clear();
            for column in &mut section.columns {
                column.rows.clear();
                column.values.clear();
            }
        }
    }

    fn filled(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.times.is_empty())
    }

    pub fn encode(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut encoder = Encoder::new(vec![VERSION]);
        let mut models = Models::new();
        models.sections.put(&mut encoder, self.filled().count() as u64);
        for section in self.filled() {
            models.put_head(&mut encoder, section);
        }
        for section in self.filled() {
            models.put_section(&mut encoder, section, &mut scratch);
        }
        self.scratch = scratch;
        encoder.finish(1)
    }

    /// Reads a body of `count` readings; whatever the bytes are, memory stays within the bounds.
    pub fn decode(body: &[u8], count: usize) -> Result<Self, SegmentError> {
        let mut decoder = Decoder::new(stream_of(body)?);
        let mut models = Models::new();
        let segment = models
            .get_heads(&mut decoder, count)
            .and_then(|heads| models.get_sections(&mut decoder, heads));
        segment.ok_or(SegmentError::Malformed)
    }

    /// The sensors that a body of `count` readings refers to, ascending.
    pub fn sensors(body: &[u8], count: usize) -> Result<Vec<u32>, SegmentError> {
        let mut decoder = Decoder::new(stream_of(body)?);
        let heads = Models::new().get_heads(&mut decoder, count).ok_or(SegmentError::Malformed)?;
        let mut sensors: Vec<u32> = heads.into_iter().map(|head| head.sensor).collect();
        sensors.dedup();
        Ok(sensors)
    }

    /// Visits every reading in sequence order.
    pub fn for_each(&self, first_seq: u64, mut visit: impl FnMut(ReadingView<'_>)) {
        let mut seq = first_seq;
        let mut cells = Vec::new();
        for section in self.filled() {
            let mut next = vec![0; section.columns.len()];
            for (row, &ms) in section.times.iter().enumerate() {
                section.cells(row, &mut next, &mut cells);
                let stamp = Stamp { base: section.base, ms };
                visit(ReadingView { seq, sensor: section.sensor, stamp, cells: &cells });
                seq += 1;
            }
        }
    }
}

impl Section {
    /// The values of one row into `cells`; `next` holds each column's position.
    fn cells<'a>(&'a self, row: usize, next: &mut [usize], cells: &mut Vec<(u16, &'a Value)>) {
        cells.clear();
        for (column, next) in self.columns.iter().zip(next) {
            if column.rows.get(*next).is_some_and(|at| *at as usize == row) {
                cells.push((column.channel, &column.values[*next]));
                *next += 1;
            }
        }
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

fn stream_of(body: &[u8]) -> Result<&[u8], SegmentError> {
    let (&version, stream) = body.split_first().ok_or(SegmentError::Empty)?;
    if version == VERSION { Ok(stream) } else { Err(SegmentError::Version(version)) }
}

fn section_of(sections: &mut Vec<Section>, sensor: u32, base: TimeBase) -> &mut Section {
    let place =
        sections.binary_search_by_key(&(sensor, base), |section| (section.sensor, section.base));
    let at = place.unwrap_or_else(|at| {
        sections.insert(at, Section { sensor, base, times: Vec::new(), columns: Vec::new() });
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

/// What a section is about.
struct Head {
    sensor: u32,
    base: TimeBase,
    rows: usize,
}

/// The models of everything in a stream, in one place so that both directions share them.
struct Models {
    sections: Number,
    sensor: Number,
    unix: Bit,
    count: Number,
    columns: Number,
    channel: Number,
    everywhere: Bit,
    present: Bit,
    times: Ints,
    values: Vec<Values>,
    last_sensor: i64,
    last_count: i64,
}

impl Models {
    fn new() -> Self {
        Self {
            sections: Number::NEW,
            sensor: Number::NEW,
            unix: Bit::NEW,
            count: Number::NEW,
            columns: Number::NEW,
            channel: Number::NEW,
            everywhere: Bit::NEW,
            present: Bit::NEW,
            times: Ints::NEW,
            values: Vec::new(),
            last_sensor: -1,
            last_count: 0,
        }
    }

    fn values(&mut self, place: usize) -> &mut Values {
        let place = place % MODELS_MAX;
        while self.values.len() <= place {
            self.values.push(Values::default());
        }
        &mut self.values[place]
    }

    fn put_head(&mut self, encoder: &mut Encoder, section: &Section) {
        let (sensor, count) = (i64::from(section.sensor), signed(section.times.len()));
        self.sensor.put_signed(encoder, sensor - self.last_sensor);
        encoder.bit(&mut self.unix, section.base == TimeBase::Unix);
        self.count.put_signed(encoder, count - self.last_count);
        (self.last_sensor, self.last_count) = (sensor, count);
    }

    fn put_section(&mut self, encoder: &mut Encoder, section: &Section, scratch: &mut Vec<i64>) {
        self.times.put(encoder, &section.times);
        let filled = || section.columns.iter().filter(|column| !column.rows.is_empty());
        self.columns.put(encoder, filled().count() as u64);
        let mut last = -1;
        for (place, column) in filled().enumerate() {
            self.channel.put_signed(encoder, i64::from(column.channel) - last);
            last = i64::from(column.channel);
            self.put_presence(encoder, column, section.times.len());
            self.values(place).put(encoder, &column.values, scratch);
        }
    }

    fn put_presence(&mut self, encoder: &mut Encoder, column: &Column, rows: usize) {
        encoder.bit(&mut self.everywhere, column.rows.len() == rows);
        if column.rows.len() == rows {
            return;
        }
        let mut own = column.rows.iter().peekable();
        for row in 0..rows {
            let present = own.next_if(|at| **at as usize == row).is_some();
            encoder.bit(&mut self.present, present);
        }
    }

    fn get_heads(&mut self, decoder: &mut Decoder<'_>, readings: usize) -> Option<Vec<Head>> {
        let sections = self.sections.get(decoder);
        let (mut heads, mut left) =
            (Vec::new(), Some(readings).filter(|count| *count <= READINGS_MAX)?);
        for _ in 0..sections {
            let head = self.get_head(decoder, left)?;
            left -= head.rows;
            heads.push(head);
        }
        (left == 0).then_some(heads)
    }

    fn get_head(&mut self, decoder: &mut Decoder<'_>, rows_max: usize) -> Option<Head> {
        let sensor = self.last_sensor.wrapping_add(self.sensor.get_signed(decoder));
        let base = if decoder.bit(&mut self.unix) { TimeBase::Unix } else { TimeBase::Boot };
        let count = self.last_count.wrapping_add(self.count.get_signed(decoder));
        (self.last_sensor, self.last_count) = (sensor, count);
        // An empty section would let a few bytes announce sections without end.
        let rows = usize::try_from(count).ok().filter(|rows| (1..=rows_max).contains(rows))?;
        Some(Head { sensor: u32::try_from(sensor).ok()?, base, rows })
    }

    fn get_sections(&mut self, decoder: &mut Decoder<'_>, heads: Vec<Head>) -> Option<Segment> {
        let mut segment = Segment::default();
        let mut text_budget = TEXT_BYTES_MAX;
        for Head { sensor, base, rows } in heads {
            let times = self.times.get(decoder, rows);
            let columns =
                self.get_columns(decoder, rows, CELLS_MAX - segment.cells, &mut text_budget)?;
            segment.count += rows;
            segment.cells += columns.iter().map(|column| column.rows.len()).sum::<usize>();
            segment.sections.push(Section { sensor, base, times, columns });
        }
        Some(segment)
    }

    fn get_columns(
        &mut self,
        decoder: &mut Decoder<'_>,
        rows: usize,
        cells_max: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Column>> {
        let count = usize::try_from(self.columns.get(decoder)).ok()?;
        if count > CHANNELS_MAX {
            return None;
        }
        let (mut columns, mut cells, mut last) = (Vec::with_capacity(count), 0, -1);
        for place in 0..count {
            let channel = i64::wrapping_add(last, self.channel.get_signed(decoder));
            last = channel;
            let own = self.get_presence(decoder, rows);
            cells += own.len();
            // A column without rows would cost a hostile sender nothing and us its allocation.
            if own.is_empty() || cells > cells_max {
                return None;
            }
            let values = self.values(place).get(decoder, own.len(), text_budget)?;
            columns.push(Column { channel: u16::try_from(channel).ok()?, rows: own, values });
        }
        Some(columns)
    }

    fn get_presence(&mut self, decoder: &mut Decoder<'_>, rows: usize) -> Vec<u32> {
        let everywhere = decoder.bit(&mut self.everywhere);
        let all = 0..u32::try_from(rows).unwrap_or(u32::MAX);
        all.filter(|_| everywhere || decoder.bit(&mut self.present)).collect()
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
