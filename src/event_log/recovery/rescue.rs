//! Rescues the quarantine of a damaged log. Copies that are lost are counted.

use std::collections::BTreeMap;

use super::carve::Carving;
use super::reconstruct::introduce;
use super::row_decoding::RankedRow;
use outstation_codec::PublishedEvent;

use crate::domain::model::event::Stream;
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::model::quarantine::Quarantine;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::commit::Commit;
use crate::event_log::store::copies::CopyChange;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::Result;
use crate::event_log::store::rows::QuarantineRow;
use crate::telemetry::events::Report;
use crate::telemetry::events::quarantine::{ReadingsDiscarded, Why};

/// How many copies are written in one transaction.
const CHUNK: usize = 64;

/// Copies the readings that the books know to be kept or, for a sink unknown to them, all that are found.
pub(crate) fn rescue_quarantine(
    database: &mut Database,
    carving: &Carving,
    aggregates: &mut Aggregates,
) -> Result<()> {
    let mut found = BTreeMap::<String, Vec<RankedRow<QuarantineRow>>>::new();
    for copy in carving.quarantined() {
        found.entry(copy.row.sink.clone()).or_default().push(copy);
    }
    for (sink, copies) in &mut found {
        // If two copies contradict each other, the later one is right.
        copies.sort_by_key(|copy| copy.rank);
        let known = aggregates.quarantines.get(sink).cloned();
        let mut rescued = IntervalSet::default();
        let mut commit = Commit::default();
        for RankedRow { row, .. } in copies.iter() {
            let (first, last) = (row.segment.first_seq, row.segment.last_seq());
            for (first, last) in rescued.missing(first, last) {
                for (first, last, replayed) in wanted(row, known.as_ref(), first, last) {
                    let Ok(part) = row.cut(first, last) else { continue };
                    rescued.insert(first, last);
                    introduce(&part.segment, aggregates);
                    let copy = QuarantineRow { replayed, ..part };
                    if known.is_none() {
                        note_copy(aggregates, &copy);
                    }
                    commit.copies.push(CopyChange::Keep(copy));
                }
            }
            if commit.copies.len() >= CHUNK {
                database.commit(&std::mem::take(&mut commit))?;
            }
        }
        database.commit(&commit)?;
        count_lost(aggregates, sink, &rescued);
    }
    let sinks: Vec<String> = aggregates.quarantines.keys().cloned().collect();
    for sink in sinks.iter().filter(|sink| !found.contains_key(*sink)) {
        count_lost(aggregates, sink, &IntervalSet::default());
    }
    Ok(())
}

/// Returns those of these numbers that are to be kept, each range with whether it is being offered again.
fn wanted(
    row: &QuarantineRow,
    known: Option<&Quarantine>,
    first: u64,
    last: u64,
) -> Vec<(u64, u64, bool)> {
    let Some(known) = known else { return vec![(first, last, row.replayed)] };
    let of = |set: &IntervalSet, replayed| {
        let within = set.within(first, last).into_iter();
        within.map(move |(first, last)| (first, last, replayed)).collect::<Vec<_>>()
    };
    [of(&known.held, false), of(&known.replayed, true)].concat()
}

/// Records in the books what the copy itself says, because they have lost it.
fn note_copy(aggregates: &mut Aggregates, copy: &QuarantineRow) {
    let (first, last) = (copy.segment.first_seq, copy.segment.last_seq());
    let (stream, reason) = (Stream::quarantine(&copy.sink), copy.reason.clone());
    aggregates.note(stream.clone(), PublishedEvent::Refused { first, last, reason });
    if copy.replayed {
        aggregates.note(stream, PublishedEvent::Replayed { first, last });
    }
}

fn count_lost(aggregates: &mut Aggregates, sink: &str, rescued: &IntervalSet) {
    let lost = aggregates.quarantine(sink).kept().difference(rescued);
    for (first, last) in lost.intervals() {
        let (first, last) = (*first, *last);
        aggregates.note(Stream::quarantine(sink), PublishedEvent::Discarded { first, last });
        let (count, why) = (last - first + 1, Why::Damaged);
        ReadingsDiscarded { sink, first, last, count, why }.report();
    }
}
