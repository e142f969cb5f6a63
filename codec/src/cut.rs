//! Cuts a part out of a segment: the readings that are still pending for a sink, or those that are left
//! after a refusal.
//!
//! A reading keeps its number, time and values.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::segment::{Column, SectionTurn, Segment, SensorSection, weight};
use crate::time::TimeBase;

/// The readings at these places in sequence order, as a segment of their own.
pub(crate) fn part(segment: &Segment, places: &Range<usize>) -> Segment {
    let (turns, rows) = turns_within(segment, places);
    let mut part = Segment::default();
    for section in segment.filled() {
        let Some(rows) = rows.get(&(section.sensor, section.base)) else { continue };
        let section = section.part(rows);
        part.count += section.times.len();
        let values = section.columns.iter().flat_map(|column| &column.values);
        part.cells += values.map(weight).sum::<usize>();
        part.sections.push(section);
    }
    if !turns.is_sorted_by(|turn, next| turn.section() < next.section()) {
        part.turns = turns;
    }
    part
}

/// The turns that visit these places, and the rows of each section that they visit. The rows are
/// consecutive, because the places are.
fn turns_within(segment: &Segment, places: &Range<usize>) -> (Vec<SectionTurn>, Rows) {
    let (mut turns, mut rows, mut visited) = (Vec::new(), Rows::new(), Rows::new());
    let mut start = 0;
    for turn in segment.turns().iter() {
        let end = start + turn.rows;
        let (first, last) = (start.max(places.start), end.min(places.end));
        let known = visited.entry(turn.section()).or_insert(0..0);
        let row = known.end;
        known.end += turn.rows;
        if first < last {
            turns.push(SectionTurn { rows: last - first, ..*turn });
            let own = row + (first - start)..row + (last - start);
            rows.entry(turn.section()).or_insert(own.start..own.start).end = own.end;
        }
        start = end;
    }
    (turns, rows)
}

/// A range of rows for each section, which is named by its sensor and time base.
type Rows = BTreeMap<(u32, TimeBase), Range<usize>>;

impl SensorSection {
    fn part(&self, rows: &Range<usize>) -> SensorSection {
        let columns = self.columns.iter().map(|column| column.part(rows));
        SensorSection {
            sensor: self.sensor,
            base: self.base,
            times: self.times[rows.clone()].to_vec(),
            columns: columns.filter(|column| !column.rows.is_empty()).collect(),
        }
    }
}

impl Column {
    fn part(&self, rows: &Range<usize>) -> Column {
        let place = |row: usize| self.rows.partition_point(|at| (*at as usize) < row);
        let own = place(rows.start)..place(rows.end);
        let before = u32::try_from(rows.start).unwrap_or(u32::MAX);
        Column {
            channel: self.channel,
            rows: self.rows[own.clone()].iter().map(|row| row - before).collect(),
            values: self.values[own].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::lane::Lane;
    use crate::segment::{Segment, SegmentError};
    use crate::stored_segment::StoredSegment;
    use crate::time::Stamp;
    use crate::value::Value;

    /// The sensor, whether it states its own time, and the value of each of three channels, if it has one.
    type Row = (u32, bool, [Option<Value>; 3]);

    fn value() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![
            2 => Just(None),
            3 => any::<i64>().prop_map(|int| Some(Value::Int(int))),
            3 => any::<f64>().prop_filter("has a bit pattern to compare", |float| !float.is_nan())
                .prop_map(|float| Some(Value::F64(float))),
            1 => any::<bool>().prop_map(|bool| Some(Value::Bool(bool))),
            1 => "[a-c]{0,40}".prop_map(|text| Some(Value::Text(text.into()))),
        ]
    }

    /// Several commits of a few readings each.
    fn commits() -> impl Strategy<Value = Vec<Vec<Row>>> {
        let row = (1u32..4, any::<bool>(), [value(), value(), value()]);
        prop::collection::vec(prop::collection::vec(row, 1..12), 1..6)
    }

    fn merged(commits: &[Vec<Row>]) -> StoredSegment {
        let mut merged = Segment::default();
        let mut ms = 0;
        for commit in commits {
            let mut segment = Segment::default();
            for (sensor, unix, values) in commit {
                ms += 7;
                let stamp = if *unix { Stamp::unix(ms) } else { Stamp::boot(ms) };
                let cells = (0..).zip(values.clone()).filter_map(|(at, value)| Some((at, value?)));
                segment.push(*sensor, stamp, cells);
            }
            assert!(merged.append(&segment));
        }
        let count = u32::try_from(merged.len()).expect("few");
        StoredSegment::sealed(100, count, Lane::Alarm, 3, merged.encode())
    }

    /// Number, sensor, stamp, and the values sorted by channel.
    type Reading = (u64, u32, Stamp, Vec<(u16, Value)>);

    fn readings(stored: &StoredSegment) -> Vec<Reading> {
        let mut all = Vec::new();
        stored.decode().expect("sound").for_each(stored.first_seq, |view| {
            let mut cells: Vec<(u16, Value)> =
                view.cells.iter().map(|(channel, value)| (*channel, (*value).clone())).collect();
            cells.sort_by_key(|(channel, _)| *channel);
            all.push((view.seq, view.sensor, view.stamp, cells));
        });
        all
    }

    proptest! {
        #[test]
        fn what_is_cut_keeps_its_numbers_stamps_and_values(
            commits in commits(),
            from in 0u64..60,
            length in 1u64..60,
        ) {
            let whole = merged(&commits);
            let (first, last) = (whole.first_seq + from, whole.first_seq + from + length - 1);
            let expected: Vec<_> = readings(&whole)
                .into_iter()
                .filter(|(seq, ..)| (first..=last).contains(seq))
                .collect();
            match whole.cut(first, last) {
                Ok(part) => {
                    prop_assert_eq!((part.lane, part.boot), (whole.lane, whole.boot));
                    prop_assert_eq!(readings(&part), expected);
                    // The part can be cut again, down to a single reading.
                    let one = part.cut(part.last_seq(), part.last_seq()).expect("there");
                    prop_assert_eq!(readings(&one), readings(&part)[part.count as usize - 1..].to_vec());
                }
                Err(error) => {
                    prop_assert_eq!(error, SegmentError::Empty);
                    prop_assert!(expected.is_empty());
                }
            }
        }
    }

    #[test]
    fn what_is_damaged_is_not_cut() {
        let mut damaged = merged(&[vec![(1, false, [Some(Value::Int(1)), None, None]); 4]]);
        damaged.body[1] ^= 1;
        assert_eq!(damaged.cut(101, 102), Err(SegmentError::Malformed));
    }
}
