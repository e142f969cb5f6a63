//! The layout of a segment's body.
//!
//! ```text
//! body    = version (1 byte) , range-coded stream
//! stream  = number of groups - 1 , group … , section …
//! group   = same as the one before (from the second on) , or: number of heads , head …
//! head    = sensor id , time base , rows
//! section = times , number of columns , column …
//! column  = channel , which rows have it (unless all) , values
//! ```
//!
//! A group stands for one commit: it visits some sections in ascending order, and of each the given number
//! of rows. All groups come first, so that the sensors of a segment can be read without decoding its
//! values. A section holds the rows of all groups.

use std::collections::BTreeMap;

use super::column::Values;
use super::integers::IntegerModels;
use super::range_coder::{Bit, Number, RangeDecoder, RangeEncoder};
use crate::segment::{
    CELLS_MAX, Column, READINGS_MAX, SectionTurn, Segment, SegmentError, SensorSection,
    TEXT_BYTES_PER_CELL,
};
use crate::sensor::CHANNELS_MAX;
use crate::time::TimeBase;

/// The version of the format, which is the first byte of every body.
pub const VERSION: u8 = 1;

/// The largest sum of bytes of distinct texts in one segment. Encoders stay far below it: see
/// [`Segment::cells`].
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The number of value models. Channels share them by position; further channels wrap around.
const MODELS_MAX: usize = 16;

impl Segment {
    /// Encodes these readings into a body. It takes `&mut self` for memory that is used again.
    pub fn encode(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut encoder = RangeEncoder::new(vec![VERSION]);
        let mut models = Models::NEW;
        models.put_groups(&mut encoder, &self.turns());
        for section in self.filled() {
            models.put_section(&mut encoder, section, &mut scratch);
        }
        self.scratch = scratch;
        encoder.finish(1)
    }

    /// Decodes a body of `count` readings. Its memory is bounded, whatever the bytes are.
    pub fn decode(body: &[u8], count: usize) -> Result<Self, SegmentError> {
        let (mut decoder, mut models) = open(body)?;
        let segment = models
            .get_groups(&mut decoder, count)
            .and_then(|turns| models.get_sections(&mut decoder, turns));
        segment.ok_or(SegmentError::Malformed)
    }

    /// The sensors that a body of `count` readings refers to, ascending, without decoding the values.
    pub fn sensors(body: &[u8], count: usize) -> Result<Vec<u32>, SegmentError> {
        let (mut decoder, mut models) = open(body)?;
        let turns = models.get_groups(&mut decoder, count).ok_or(SegmentError::Malformed)?;
        let mut sensors: Vec<u32> = turns.into_iter().map(|turn| turn.sensor).collect();
        sensors.sort_unstable();
        sensors.dedup();
        Ok(sensors)
    }
}

fn open(body: &[u8]) -> Result<(RangeDecoder<'_>, Models), SegmentError> {
    let (&version, stream) = body.split_first().ok_or(SegmentError::Empty)?;
    if version != VERSION {
        return Err(SegmentError::Version(version));
    }
    Ok((RangeDecoder::new(stream), Models::NEW))
}

/// The models of everything in a stream, in one place so that encoder and decoder share them.
struct Models {
    groups: Number,
    same: Bit,
    heads: Number,
    sensor: Number,
    unix: Bit,
    rows: Number,
    columns: Number,
    channel: Number,
    everywhere: Bit,
    /// Indexed by whether the row before had the channel.
    present: [Bit; 2],
    times: IntegerModels,
    values: Vec<Values>,
    last_rows: i64,
}

impl Models {
    const NEW: Self = Self {
        groups: Number::NEW,
        same: Bit::NEW,
        heads: Number::NEW,
        sensor: Number::NEW,
        unix: Bit::NEW,
        rows: Number::NEW,
        columns: Number::NEW,
        channel: Number::NEW,
        everywhere: Bit::NEW,
        present: [Bit::NEW; 2],
        times: IntegerModels::NEW,
        values: Vec::new(),
        last_rows: 0,
    };

    fn values(&mut self, place: usize) -> &mut Values {
        let place = place % MODELS_MAX;
        while self.values.len() <= place {
            self.values.push(Values::NEW);
        }
        &mut self.values[place]
    }

    fn put_groups(&mut self, encoder: &mut RangeEncoder, turns: &[SectionTurn]) {
        let groups: Vec<&[SectionTurn]> =
            turns.chunk_by(|turn, next| turn.section() < next.section()).collect();
        self.groups.put(encoder, (groups.len() as u64).saturating_sub(1));
        let mut last: &[SectionTurn] = &[];
        for group in groups {
            if !last.is_empty() {
                encoder.bit(&mut self.same, group == last);
            }
            if group != last {
                self.put_heads(encoder, group);
            }
            last = group;
        }
    }

    fn put_heads(&mut self, encoder: &mut RangeEncoder, group: &[SectionTurn]) {
        self.heads.put(encoder, group.len() as u64);
        let mut last_sensor = -1;
        for turn in group {
            let (sensor, rows) = (i64::from(turn.sensor), signed(turn.rows));
            self.sensor.put_signed(encoder, sensor - last_sensor);
            encoder.bit(&mut self.unix, turn.base == TimeBase::Unix);
            self.rows.put_signed(encoder, rows - self.last_rows);
            (last_sensor, self.last_rows) = (sensor, rows);
        }
    }

    fn put_section(
        &mut self,
        encoder: &mut RangeEncoder,
        section: &SensorSection,
        scratch: &mut Vec<i64>,
    ) {
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

    fn put_presence(&mut self, encoder: &mut RangeEncoder, column: &Column, rows: usize) {
        encoder.bit(&mut self.everywhere, column.rows.len() == rows);
        if column.rows.len() == rows {
            return;
        }
        let mut own = column.rows.iter().peekable();
        let mut before = false;
        for row in 0..rows {
            let present = own.next_if(|at| **at as usize == row).is_some();
            encoder.bit(&mut self.present[usize::from(before)], present);
            before = present;
        }
    }

    /// Reads the groups. Every group must have a reading, so that a few bytes cannot announce an unlimited
    /// number of groups.
    fn get_groups(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        readings: usize,
    ) -> Option<Vec<SectionTurn>> {
        let mut left = Some(readings).filter(|count| *count <= READINGS_MAX)?;
        let more = self.groups.get(decoder);
        let mut turns = Vec::new();
        let mut last = self.get_heads(decoder, &mut left)?;
        turns.extend_from_slice(&last);
        for _ in 0..more {
            if decoder.bit(&mut self.same) {
                let rows = last.iter().map(|turn| turn.rows).sum();
                left = left.checked_sub(rows)?;
            } else {
                last = self.get_heads(decoder, &mut left)?;
            }
            turns.extend_from_slice(&last);
        }
        (left == 0).then_some(turns)
    }

    fn get_heads(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        left: &mut usize,
    ) -> Option<Vec<SectionTurn>> {
        let mut group: Vec<SectionTurn> = Vec::new();
        let mut last_sensor = -1;
        for _ in 0..self.heads.get(decoder) {
            let sensor = i64::wrapping_add(last_sensor, self.sensor.get_signed(decoder));
            let base = if decoder.bit(&mut self.unix) { TimeBase::Unix } else { TimeBase::Boot };
            let rows = self.last_rows.wrapping_add(self.rows.get_signed(decoder));
            (last_sensor, self.last_rows) = (sensor, rows);
            let rows = usize::try_from(rows).ok().filter(|rows| (1..=*left).contains(rows))?;
            let turn = SectionTurn { sensor: u32::try_from(sensor).ok()?, base, rows };
            if group.last().is_some_and(|last| last.section() >= turn.section()) {
                return None;
            }
            *left -= rows;
            group.push(turn);
        }
        (!group.is_empty()).then_some(group)
    }

    fn get_sections(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        turns: Vec<SectionTurn>,
    ) -> Option<Segment> {
        let mut segment = Segment::default();
        let mut text_budget = TEXT_BYTES_MAX;
        let mut sections = BTreeMap::new();
        for turn in &turns {
            *sections.entry(turn.section()).or_default() += turn.rows;
        }
        let merged = !turns.is_sorted_by(|turn, next| turn.section() < next.section());
        for ((sensor, base), rows) in sections {
            let times = self.times.get(decoder, rows, |ms| ms);
            let columns =
                self.get_columns(decoder, rows, CELLS_MAX - segment.cells, &mut text_budget)?;
            segment.count += rows;
            segment.cells += columns.iter().map(|column| column.rows.len()).sum::<usize>();
            segment.sections.push(SensorSection { sensor, base, times, columns });
        }
        segment.cells += (TEXT_BYTES_MAX - text_budget).div_ceil(TEXT_BYTES_PER_CELL);
        segment.turns = if merged { turns } else { Vec::new() };
        Some(segment)
    }

    fn get_columns(
        &mut self,
        decoder: &mut RangeDecoder<'_>,
        rows: usize,
        cells_max: usize,
        text_budget: &mut usize,
    ) -> Option<Vec<Column>> {
        let count = usize::try_from(self.columns.get(decoder)).ok()?;
        if count > CHANNELS_MAX {
            return None;
        }
        let (mut columns, mut cells, mut last): (Vec<Column>, _, _) =
            (Vec::with_capacity(count), 0, -1);
        for place in 0..count {
            let channel = i64::wrapping_add(last, self.channel.get_signed(decoder));
            last = channel;
            let channel = u16::try_from(channel).ok()?;
            let own = self.get_presence(decoder, rows);
            cells += own.len();
            // A column without rows would cost a hostile sender nothing, and the decoder an allocation.
            let known = columns.iter().any(|column| column.channel == channel);
            if known || own.is_empty() || cells > cells_max {
                return None;
            }
            let values = self.values(place).get(decoder, own.len(), text_budget)?;
            columns.push(Column { channel, rows: own, values });
        }
        Some(columns)
    }

    fn get_presence(&mut self, decoder: &mut RangeDecoder<'_>, rows: usize) -> Vec<u32> {
        let all = 0..u32::try_from(rows).unwrap_or(u32::MAX);
        if decoder.bit(&mut self.everywhere) {
            return all.collect();
        }
        let mut before = false;
        all.filter(|_| {
            before = decoder.bit(&mut self.present[usize::from(before)]);
            before
        })
        .collect()
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
