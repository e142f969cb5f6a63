//! What the log hands out: the next readings and events that are pending for a sink, with the sensors and
//! boots that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use outstation_codec::{Batch, EventRecord, Lane, Loss, PublishedEvent, StoredSegment};

use super::gather::{Gathered, Hole, gather};
use super::view::{Marks, SinkBacklog, Turn, View};
use crate::domain::model::event::Stream;
use crate::domain::policy::batch_size::Limits;
use crate::domain::policy::lanes::Order;
use crate::event_log::handle::Ask;
use crate::event_log::quarantine::kept::Copies;
use crate::event_log::quarantine::replays::{self, Replay};
use crate::event_log::state::log_state::LogState;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::StorageError;
use crate::telemetry::events::quarantine::Why;
use crate::telemetry::events::{LogUnreadable, Report, SegmentDamaged};

/// The most events of one batch. They are few, and rarely more than one at a time.
const EVENTS_MAX: usize = 256;

/// What was offered to the sinks, and how far their lanes have come. It is kept only in memory.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// By sink: the ranges that this process offered last.
    offered: BTreeMap<String, Vec<(u64, u64)>>,
    /// By sink: how far its lanes have come.
    marks: BTreeMap<String, Marks>,
    /// Whether the last read failed, which is reported once.
    is_unreadable: bool,
}

/// What a sink is handed, and what was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub(crate) batch: Option<Batch>,
    /// Whether readings were found to be lost and were written off.
    pub(crate) wrote_off: bool,
    /// Whether older readings became backlog.
    pub(crate) mark_moved: bool,
}

/// The result of looking through the lanes that a sink asks for.
#[derive(Debug)]
enum Search {
    Nothing,
    Stored(Lane, Vec<StoredSegment>),
    /// Copies to offer again, and copies to give up.
    Copies(Replay),
    /// Numbers that the log should hold and does not.
    Missing(Hole),
}

impl Offers {
    /// Forgets how far the lanes have come, because the file or the rules have changed.
    pub(crate) fn forget_marks(&mut self) {
        self.marks.clear();
    }

    /// Returns what is pending for the sink next, if anything. Readings that the log should hold and does
    /// not are counted as lost and passed over, so that none waits behind them.
    pub(crate) fn next(
        &mut self,
        database: &Database,
        state: &mut LogState,
        copies: &mut Copies,
        sink: &str,
        ask: Ask,
    ) -> Result<Next, StorageError> {
        let mut next = Next::default();
        let found = self.next_segments(database, state, copies, sink, ask, &mut next);
        let (lane, segments) = self.readable(database, found)?.unwrap_or_default();
        let alarms_alone = ask.lanes == [Lane::Alarm];
        let pending_events = if alarms_alone {
            Ok(Vec::new())
        } else {
            pending_events(database, state, sink, ask.limits)
        };
        let events = self.readable(database, pending_events)?;
        if segments.is_empty() && events.is_empty() {
            return Ok(next);
        }
        let batch = batch(state, database.epoch(), lane, segments, events);
        self.offered.insert(sink.to_owned(), batch.ranges());
        next.batch = Some(batch);
        Ok(next)
    }

    /// Returns the next pending segments of the first requested lane that has any.
    fn next_segments(
        &mut self,
        database: &Database,
        state: &mut LogState,
        copies: &mut Copies,
        sink: &str,
        ask: Ask,
        next: &mut Next,
    ) -> Result<Option<(Lane, Vec<StoredSegment>)>, StorageError> {
        loop {
            let marks = self.marks_of(sink);
            let Some(mut view) = View::of(database, state, sink, marks)? else { return Ok(None) };
            let in_order = view.policy.order == Order::AsStored;
            if !in_order && ask.lanes != [Lane::Alarm] {
                next.mark_moved |= view.keep_fresh()?;
            }
            let found = search(&view, state, copies, sink, ask)?;
            let marks = view.marks;
            self.marks.insert(sink.to_owned(), marks);
            match found {
                Search::Nothing => return Ok(None),
                Search::Stored(lane, segments) => {
                    self.marks.insert(sink.to_owned(), Marks { copies: false, ..marks });
                    return Ok(Some((lane, segments)));
                }
                Search::Copies(Replay { segments, missing }) => {
                    for (first, last) in missing {
                        copies.discard(state, sink, first, last, Why::Damaged);
                    }
                    if !segments.is_empty() {
                        self.marks.insert(sink.to_owned(), Marks { copies: true, ..marks });
                        return Ok(Some((Lane::Backfill, segments)));
                    }
                }
                Search::Missing(hole) => {
                    write_off(state, hole);
                    next.wrote_off = true;
                }
            }
        }
    }

    fn marks_of(&self, sink: &str) -> Marks {
        self.marks.get(sink).copied().unwrap_or_default()
    }

    /// Returns what a sink would be given now. If the log cannot be read, that is nothing, because a sink
    /// that asks gets nothing either.
    pub(crate) fn backlog(
        &mut self,
        database: &Database,
        state: &LogState,
        sink: &str,
    ) -> SinkBacklog {
        let view = View::of(database, state, sink, self.marks_of(sink));
        let Ok(Some(view)) = view else { return SinkBacklog::default() };
        self.marks.insert(sink.to_owned(), view.marks);
        view.backlog().unwrap_or_default()
    }

    /// The numbers at which a segment may not be merged with the next: the last number before each range
    /// that a sink was offered or has, the last number of that range, and the last number before fresh
    /// readings. No sink has a part only of what lies between two of them.
    pub(crate) fn ends(&self, state: &LogState) -> BTreeSet<u64> {
        let had = state.aggregates().deliveries.values();
        let had = had.flat_map(|delivery| delivery.readings.intervals());
        let ranges = self.offered.values().flatten().chain(had);
        let marks = self.marks.values().map(|marks| marks.live);
        let before = |first: u64| first.saturating_sub(1);
        ranges.flat_map(|(first, last)| [before(*first), *last]).chain(marks.map(before)).collect()
    }

    /// Storage that cannot be read gives nothing, just as it takes nothing when it cannot be written. The
    /// failure is reported once, and reading is tried again at the next request. Damage is returned as an
    /// error.
    fn readable<T: Default>(
        &mut self,
        database: &Database,
        read: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match read {
            Ok(found) => {
                self.is_unreadable = false;
                Ok(found)
            }
            Err(error) if error.is_damage() => Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    LogUnreadable { path: database.path(), error: &error }.report();
                }
                Ok(T::default())
            }
        }
    }
}

/// Looks through the lanes that a sink asks for, in order.
fn search(
    view: &View<'_>,
    state: &LogState,
    copies: &Copies,
    sink: &str,
    ask: Ask,
) -> Result<Search, StorageError> {
    for turn in view.turns(ask.lanes) {
        let found = match turn {
            Turn::Stored(lane) => search_stored(view, lane, ask.limits)?,
            Turn::Copies => search_copies(view.database, state, copies, sink, ask.limits)?,
        };
        if !matches!(found, Search::Nothing) {
            return Ok(found);
        }
    }
    Ok(Search::Nothing)
}

fn search_copies(
    database: &Database,
    state: &LogState,
    copies: &Copies,
    sink: &str,
    limits: Limits,
) -> Result<Search, StorageError> {
    let replayed = &state.aggregates().quarantine(sink).replayed;
    let mut replay = replays::read(database, sink, replayed, limits)?;
    // A copy that is staged for the next commit is not missing in the table.
    if !copies.is_committed() {
        replay.missing.clear();
    }
    let is_empty = replay.segments.is_empty() && replay.missing.is_empty();
    Ok(if is_empty { Search::Nothing } else { Search::Copies(replay) })
}

fn search_stored(view: &View<'_>, lane: Lane, limits: Limits) -> Result<Search, StorageError> {
    for scope in view.scopes(lane) {
        let segments = match gather(&scope, view, limits)? {
            Gathered::Segments(segments) => segments,
            Gathered::Missing(hole) => return Ok(Search::Missing(hole)),
        };
        let Some(first) = segments.first() else { continue };
        let lane = match view.policy.order {
            Order::AsStored => view.lane_as_stored(first.first_seq)?,
            Order::LiveFirst => lane,
        };
        return Ok(Search::Stored(lane, segments));
    }
    Ok(Search::Nothing)
}

/// Counts readings of this range as lost if they are pending for some sink and were not counted before.
fn write_off(state: &mut LogState, (first, last): Hole) {
    SegmentDamaged { first, last }.report();
    // All sinks count here: readings that all waited-for sinks have may still be pending for another one.
    let settled = state.aggregates().settled_by_all(&state.config().names());
    for (first, last) in state.aggregates().books.pending(&settled, first, last) {
        state.record(Stream::ledger(), PublishedEvent::Lost { loss: Loss::Damaged, first, last });
    }
}

/// Returns the next events that are pending for a sink.
fn pending_events(
    database: &Database,
    state: &LogState,
    sink: &str,
    limits: Limits,
) -> Result<Vec<EventRecord>, StorageError> {
    let delivery = state.aggregates().delivery(sink);
    let takes_events = state.config().rules(sink).is_some_and(|rules| rules.events);
    if !takes_events || delivery.events >= state.committed_position() {
        return Ok(Vec::new());
    }
    let mut rows = database.published(delivery.events, EVENTS_MAX)?;
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        bytes += row.data.len();
        bytes <= limits.bytes_max
    });
    rows.truncate(fits.count().max(1));
    let first_pending = state.aggregates().closed(sink).first_gap(1);
    let rows = rows.into_iter().map(|row| {
        let mut event = row.published()?;
        // Readings that this sink has under an earlier epoch are not delivered again under this one.
        if let PublishedEvent::EpochBegan { from, .. } = &mut event {
            *from = first_pending.max(*from);
        }
        Ok(EventRecord {
            position: row.position.unwrap_or(0),
            stream: row.stream.as_str().to_owned(),
            boot: row.boot,
            at_ms: row.at_ms,
            event,
        })
    });
    rows.collect()
}

/// Makes a batch with the sensors and boots that it refers to.
fn batch(
    state: &LogState,
    epoch: u64,
    lane: Lane,
    segments: Vec<StoredSegment>,
    events: Vec<EventRecord>,
) -> Batch {
    let sensors: BTreeSet<u32> = segments.iter().flat_map(StoredSegment::sensors).collect();
    let of_segments = segments.iter().map(|segment| segment.boot);
    let boots: BTreeSet<u32> =
        of_segments.chain(events.iter().flat_map(EventRecord::boots)).collect();
    let aggregates = state.aggregates();
    let described = |id: u32| Some((id, aggregates.registry.sensor(id)?.clone()));
    let anchor = |boot: u32| (boot, aggregates.boots.get(boot).and_then(|boot| boot.anchor));
    Batch {
        device: state.config().device.clone(),
        epoch,
        lane,
        sensors: sensors.into_iter().filter_map(described).collect(),
        boots: boots.into_iter().map(anchor).collect(),
        segments,
        events,
    }
}
