//! Makes a new log from what can be read of a damaged one.
//!
//! ```text
//!  log.db (damaged) ──carve──▶ log.db.salvage ──whole, synced──▶ log.db.salvaged
//!       └──────▶ log.db.damaged                                       └──────▶ log.db
//! ```
//!
//! One rename, to `.salvaged`, makes the new log valid. Before it the damaged log is not touched. After it
//! the files are only moved to their places, which can be interrupted and continued at any step.

use std::fs::{self, File};
use std::path::Path;

use outstation_codec::{Loss, PublishedEvent};

use super::carve::{self, Carving};
use super::reconstruct::{UNKNOWN_PORT, history, introduce, replay, segments};
use super::rescue::rescue_quarantine;
use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::model::ledger::Intake;
use crate::error_chain::error_chain;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::commit::Commit;
use crate::event_log::store::database::Database;
use crate::event_log::store::error::{Result, StorageError};
use crate::event_log::store::files::{self, Files};
use crate::telemetry::events::{LogSalvaged, Report};

/// How many segments are written in one transaction.
const CHUNK: usize = 64;
/// The identity of a log that was salvaged and has not been opened since.
pub(crate) const IDENTITY: &[u8] = b"salvaged";

/// Sets the damaged log aside and puts what could be read of it in its place. Returns the numbers that are
/// lost.
pub(crate) fn salvage(
    files: &Files,
    sinks: &[String],
    error: &StorageError,
) -> Result<Vec<(u64, u64)>> {
    clear_unfinished(files);
    let carving = carve::carve(files.log(), &files.journal())
        .map_err(|source| files.failed("read the damaged log", source))?;
    let outcome = write(&files.unfinished(), &carving, sinks)?;
    place(files)?;
    LogSalvaged {
        path: files.log(),
        aside: files.aside().log(),
        reason: error_chain(error),
        kept: outcome.kept,
        lost: outcome.lost,
        ranges: &ranges(&outcome.lost_ranges),
    }
    .report();
    Ok(outcome.lost_ranges)
}

/// Writes the content of an open log whose file has gone to its path again. A file that is there now is set
/// aside.
pub(crate) fn write_again(files: &Files, database: &Database) -> Result<()> {
    files.create_folder()?;
    // Under its final name, the next opening would take an incomplete copy for a complete one.
    database.copy_to(&files.unfinished())?;
    place(files)
}

/// Makes a complete new log durable and puts it in its place.
fn place(files: &Files) -> Result<()> {
    File::open(files.unfinished())
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(files.unfinished(), files.salvaged()))
        .map_err(|source| files.failed("finish the new copy of", source))?;
    files.sync_folder()?;
    finish(files)
}

/// Puts a salvaged log in its place, if there is one. This can be repeated after any interruption, because
/// each step leaves the condition for the next one in the folder.
pub(crate) fn finish(files: &Files) -> Result<()> {
    clear_unfinished(files);
    if !files.salvaged().exists() {
        return Ok(());
    }
    let aside = files.aside();
    let moved = |from: &Path, to: &Path| match fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // The journal is moved first: if it stayed, it would be taken for that of the new log.
    moved(&files.journal(), &aside.journal())
        .and_then(|()| moved(files.log(), aside.log()))
        .map(|()| files::remove(&files.journal_index()))
        .and_then(|()| fs::rename(files.salvaged(), files.log()))
        .map_err(|source| files.failed("put the salvaged log in the place of", source))?;
    files.sync_folder()
}

fn clear_unfinished(files: &Files) {
    let unfinished = Files::of(&files.unfinished());
    for path in [unfinished.log(), &unfinished.journal(), &unfinished.journal_index()] {
        files::remove(path);
    }
}

/// How many readings were kept and lost.
#[derive(Debug, Default)]
struct Outcome {
    kept: u64,
    lost: u64,
    lost_ranges: Vec<(u64, u64)>,
}

fn write(path: &Path, carving: &Carving, sinks: &[String]) -> Result<Outcome> {
    let mut aggregates = replay(carving);
    let mut database = Database::open(path, Clock::entropy() >> 12)?;
    rescue_quarantine(&mut database, carving, &mut aggregates)?;
    let kept = copy_segments(&mut database, carving, &mut aggregates, sinks)?;
    let outcome = balance(&mut aggregates, &kept, sinks);
    database.import(&aggregates.snapshots()?, history(carving))?;
    database.identify(database.epoch(), IDENTITY.to_vec())?;
    database.checkpoint("TRUNCATE")?;
    Ok(outcome)
}

/// Copies every sound segment that is still pending for some sink. Returns the numbers it copied.
fn copy_segments(
    database: &mut Database,
    carving: &Carving,
    aggregates: &mut Aggregates,
    sinks: &[String],
) -> Result<IntervalSet> {
    let delivered = aggregates.delivered_to_all(sinks);
    let mut kept = IntervalSet::default();
    let mut commit = Commit::default();
    for found in segments(carving) {
        let pending = aggregates.books.pending(&delivered, found.first_seq, found.last_seq());
        if pending.is_empty() {
            continue;
        }
        let Some(new) = carving.segment(&found) else { continue };
        introduce(&new.segment, aggregates);
        kept.insert(new.segment.first_seq, new.segment.last_seq());
        commit.segments.push(new);
        if commit.segments.len() == CHUNK {
            database.commit(&std::mem::take(&mut commit))?;
        }
    }
    database.commit(&commit)?;
    Ok(kept)
}

/// Brings the books into line with what was kept, so that every number up to the highest known one is
/// delivered, kept, or lost.
fn balance(aggregates: &mut Aggregates, kept: &IntervalSet, sinks: &[String]) -> Outcome {
    let intake = aggregates.books.intake();
    let counted = intake.accepted.saturating_sub(intake.overflow);
    let head = kept.last().unwrap_or(0).max(aggregates.last_accounted());
    if head > counted {
        let found = head - counted;
        let intake = Intake { frames: found, accepted: found, ..Intake::default() };
        aggregates.note(Stream::ledger(), Event::TookIn { port: UNKNOWN_PORT.into(), intake });
    }
    // A sink whose state is lost gets what is left. Readings that had left the log before were delivered to
    // it, or were counted as lost.
    let oldest = kept.intervals().first().map_or(head + 1, |(first, _)| *first);
    for sink in sinks {
        if aggregates.delivery(sink).readings.last().is_none() {
            aggregates.note(Stream::delivery(sink), Event::SinkAdded { from: oldest });
        }
    }
    let delivered = aggregates.delivered_to_all(sinks);
    let pending = aggregates.books.pending(&delivered, 1, head);
    let gone = pending.into_iter().flat_map(|(first, last)| kept.missing(first, last));
    let lost_ranges: Vec<(u64, u64)> = gone.collect();
    for (first, last) in &lost_ranges {
        let event = PublishedEvent::Lost { loss: Loss::Damaged, first: *first, last: *last };
        aggregates.note(Stream::ledger(), event);
    }
    let lost = lost_ranges.iter().map(|(first, last)| last - first + 1).sum();
    Outcome { kept: kept.count(), lost, lost_ranges }
}

/// Formats ranges for the log line: all of them if they are few.
fn ranges(ranges: &[(u64, u64)]) -> String {
    let shown: Vec<String> =
        ranges.iter().take(8).map(|(first, last)| format!("{first}-{last}")).collect();
    let more = ranges.len().saturating_sub(shown.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
