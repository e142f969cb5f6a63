//! Walks through the readings of a log page by page, and finds where a selection starts.

use outstation_codec::{Dated, Moment, SegmentError, StoredSegment, TimeBase};

use super::InspectError;
use crate::console::complain;
use crate::domain::model::boots::Boots;
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::inspect::{CommittedState, LogView, Meaning};
use crate::event_log::store::error::StorageError;

/// The selection of readings. An absent condition selects all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The earliest time in Unix milliseconds. A reading without a date is never too old.
    pub since_ms: Option<i64>,
    pub port: Option<String>,
    pub sensor: Option<String>,
    /// The numbers of readings that every sink has; these are left out.
    pub delivered: Option<IntervalSet>,
}

impl Selection {
    fn is_everything(&self) -> bool {
        let Self { since_ms, port, sensor, delivered } = self;
        since_ms.is_none() && port.is_none() && sensor.is_none() && delivered.is_none()
    }

    fn takes(&self, dated: &Dated<'_>) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|it| it == name);
        let recent = self.since_ms.is_none_or(|since| !dated.clock_set || dated.time_ms >= since);
        let lacked =
            self.delivered.as_ref().is_none_or(|delivered| !delivered.contains(dated.reading.seq));
        recent
            && lacked
            && is(&self.port, &dated.sensor.port)
            && is(&self.sensor, &dated.sensor.name)
    }
}

/// Calls `visit` for the readings of a segment from the number `from` on. A damaged segment is an error
/// before the first call; a sensor that `meaning` does not know is an error after the last.
pub fn of_segment(
    segment: &StoredSegment,
    meaning: Meaning<'_>,
    from: u64,
    mut visit: impl FnMut(&Dated<'_>),
) -> Result<(), SegmentError> {
    let mut known = true;
    segment.decode()?.for_each(segment.first_seq, |reading| {
        if reading.seq < from {
            return;
        }
        let Some(sensor) = meaning.registry.sensor(reading.sensor) else {
            known = false;
            return;
        };
        let (time_ms, clock_set) = match reading.stamp.base {
            TimeBase::Unix => (reading.stamp.ms, true),
            TimeBase::Boot => {
                meaning.boots.date(Moment { boot: segment.boot, ms: reading.stamp.ms })
            }
        };
        visit(&Dated { reading, sensor, time_ms, clock_set });
    });
    if known { Ok(()) } else { Err(SegmentError::Malformed) }
}

/// Calls `visit` for the selected readings from the number `from` on, as far as `state` knows the log,
/// until `visit` returns false. Damaged segments are reported on stderr and skipped. Returns the number to
/// continue from.
pub fn walk(
    view: &LogView,
    state: &CommittedState,
    from: u64,
    selection: &Selection,
    mut visit: impl FnMut(&Dated<'_>) -> bool,
) -> Result<u64, StorageError> {
    let (mut next, mut going) = (from, true);
    while going && next < state.next_seq {
        let page = view.segments(next)?;
        // A segment that was committed after `state` was read may name sensors that its registry does not
        // have.
        let known = page.iter().take_while(|segment| segment.first_seq < state.next_seq);
        let mut last = None;
        for segment in known {
            if !going {
                break;
            }
            let read = of_segment(segment, state.meaning(), next, |dated| {
                going = going && (!selection.takes(dated) || visit(dated));
            });
            if read.is_err() {
                let end = view.after(segment)?.min(state.next_seq) - 1;
                complain(&format!("readings {}-{end} are damaged; skipped", segment.first_seq));
            }
            last = Some(segment);
        }
        match last {
            Some(segment) => next = view.after(segment)?.max(next + 1),
            None => break,
        }
    }
    Ok(next.min(state.next_seq))
}

/// The number of consecutive segments that have to be too old before the search stops. A commit holds
/// readings of all lanes, and those of one lane may have waited longer than the others.
const OLDER_IN_A_ROW: u32 = 32;

/// Returns the number to start from so that no reading that arrived since `since_ms` is missed. It reads
/// only the heads of segments, from the end of the log backwards.
pub fn begin_since(
    view: &LogView,
    state: &CommittedState,
    since_ms: i64,
) -> Result<u64, StorageError> {
    let Meaning { boots, .. } = state.meaning();
    let (mut begin, mut before, mut older) = (state.next_seq, u64::MAX, 0);
    loop {
        let page = view.heads_before(before)?;
        for head in &page {
            before = head.first_seq;
            if is_older(boots, Moment { boot: head.boot, ms: head.last_ms }, since_ms) {
                older += 1;
            } else {
                (begin, older) = (head.first_seq.min(begin), 0);
            }
            if older == OLDER_IN_A_ROW {
                return Ok(begin);
            }
        }
        if page.is_empty() {
            return Ok(begin);
        }
    }
}

fn is_older(boots: &Boots, moment: Moment, since_ms: i64) -> bool {
    let (date, set) = boots.date(moment);
    set && date < since_ms
}

/// Returns the number to start from so that the newest `most` selected readings follow, and how many
/// selected readings to skip first. Without a selection it reads only the heads of segments; with one it
/// decodes segments from the end backwards.
pub fn begin_with_newest(
    view: &LogView,
    state: &CommittedState,
    from: u64,
    selection: &Selection,
    most: u64,
) -> Result<(u64, u64), StorageError> {
    let (mut begin, mut before, mut found) = (state.next_seq, state.next_seq, 0);
    while found < most {
        let page = view.heads_before(before)?;
        if page.is_empty() {
            break;
        }
        for head in &page {
            before = head.first_seq;
            if found >= most || head.last_seq() < from {
                continue;
            }
            begin = head.first_seq.max(from);
            found += if selection.is_everything() {
                u64::from(head.count)
            } else {
                wanted_in(view, state, head.first_seq, begin, selection)?
            };
        }
        if before <= from {
            break;
        }
    }
    Ok((begin, found.saturating_sub(most)))
}

fn wanted_in(
    view: &LogView,
    state: &CommittedState,
    first_seq: u64,
    from: u64,
    selection: &Selection,
) -> Result<u64, StorageError> {
    let mut count = 0;
    if let Some(segment) = view.segment(first_seq)? {
        // A damaged segment counts as empty here; the walk reports it.
        let _ = of_segment(&segment, state.meaning(), from, |dated| {
            count += u64::from(selection.takes(dated));
        });
    }
    Ok(count)
}

/// Reads the state of a log; an error of damage names the next step.
pub(super) fn state_of(view: &LogView) -> Result<CommittedState, InspectError> {
    view.state().map_err(InspectError::at(view.path()))
}
