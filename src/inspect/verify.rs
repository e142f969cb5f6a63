//! `outstation log verify`: checks that a log holds the bytes that were written, and that its books agree
//! with them.
//!
//! While a daemon writes, the log changes during the walk. Missing readings are therefore compared with the
//! books as they are *after* the walk: these include everything that left the log meanwhile.

use std::collections::BTreeMap;

use outstation_codec::{Segment, StoredSegment};
use serde::Serialize;

use super::{InspectError, Subject};
use crate::domain::model::event::Stream;
use crate::domain::model::interval_set::IntervalSet;
use crate::error_chain::error_chain;
use crate::event_log::inspect::{CommittedState, LogView, StoredStream};
use crate::event_log::store::error::StorageError;

/// The largest number of problems that are listed; further ones are only counted.
const PROBLEMS_MAX: usize = 100;

/// The result of a verification.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    path: String,
    sound: bool,
    segments: u64,
    readings: u64,
    /// The number of readings in the copies in quarantine.
    quarantined: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    events: u64,
    snapshots: u64,
    /// False if the file is too large to check its structure beside a daemon.
    structure_checked: bool,
    ledger_balanced: bool,
    problems: Vec<String>,
    problems_total: u64,
    #[serde(skip)]
    worst: Worst,
}

/// The most severe finding, which decides the next step; the variants are in the order of severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Worst {
    #[default]
    Nothing,
    Readings,
    Books,
    File,
}

impl Worst {
    fn next_step(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Readings => {
                "the daemon counts damaged segments as lost when a sink reaches them; `outstation log \
                 export` saves the others"
            }
            Self::Books => {
                "the daemon salvages the log when it meets the damage, at the latest at its next start; \
                 `outstation log export` saves the readings before"
            }
            Self::File => {
                "stop the daemon and read what is left with `outstation log salvage`; started again, \
                 it salvages the log by itself"
            }
        }
    }
}

/// Verifies a log. Damage is part of the result; an error means that the log could not be read to the end.
pub fn verify(subject: &Subject) -> Result<Verdict, InspectError> {
    let failed = InspectError::at(&subject.path);
    let view = LogView::open(&subject.path).map_err(&failed)?;
    let mut verdict = Verdict { path: subject.path.display().to_string(), ..Verdict::default() };
    verdict.structure(&view);
    let before = view.state();
    let mut present = IntervalSet::default();
    if let Err(error) = verdict.walk(&view, before.as_ref().ok(), &mut present) {
        verdict.fault(Worst::File, "the segments cannot be read", &error)?;
    }
    if let Err(error) = verdict.streams(&view) {
        verdict.fault(Worst::File, "the events cannot be read", &error)?;
    }
    let mut copied = BTreeMap::new();
    if let Ok(state) = &before {
        if let Err(error) = verdict.quarantine(&view, state, &mut copied) {
            verdict.fault(Worst::File, "the quarantine cannot be read", &error)?;
        }
    }
    match (before, view.state()) {
        (Ok(before), Ok(after)) => {
            verdict.books(subject, &before, &after, &present);
            verdict.copies(&before, &after, &copied);
        }
        (Err(error), _) | (_, Err(error)) => {
            verdict.fault(Worst::Books, "the books cannot be rebuilt", &error)?;
        }
    }
    verdict.first_seq = present.intervals().first().map(|(first, _)| *first);
    verdict.last_seq = present.last();
    verdict.sound = verdict.problems_total == 0;
    Ok(verdict)
}

impl Verdict {
    fn problem(&mut self, worst: Worst, problem: String) {
        self.worst = self.worst.max(worst);
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Adds damage to the problems. Any other error, such as a failing disk, ends the verification.
    fn fault(
        &mut self,
        worst: Worst,
        what: &str,
        error: &StorageError,
    ) -> Result<(), InspectError> {
        let text = format!("{what}: {}", error_chain(error));
        if !error.is_damage() {
            return Err(InspectError::Interrupted { what: text });
        }
        self.problem(worst, text);
        Ok(())
    }

    fn structure(&mut self, view: &LogView) {
        match view.structure_faults() {
            Ok(Some(faults)) => {
                self.structure_checked = true;
                for fault in faults {
                    self.problem(Worst::File, format!("structure: {fault}"));
                }
            }
            Ok(None) => {}
            Err(error) => {
                self.problem(Worst::File, format!("structure: {}", error_chain(&error)));
            }
        }
    }

    /// Checks every segment in order. Each page starts with the last segment of the page before, so that
    /// the order is checked across pages too, unless that segment was merged or removed meanwhile.
    fn walk(
        &mut self,
        view: &LogView,
        state: Option<&CommittedState>,
        present: &mut IntervalSet,
    ) -> Result<(), StorageError> {
        let mut last: Option<(u64, u32, u64)> = None;
        loop {
            let page = view.segments(last.map_or(0, |(first, _, _)| first))?;
            let before = last;
            for segment in &page {
                let same = last.is_some_and(|(first, count, _)| {
                    (first, count) == (segment.first_seq, segment.count)
                });
                if same {
                    continue;
                }
                let within = last.is_some_and(|(first, _, end)| {
                    first < segment.first_seq && segment.first_seq <= end
                });
                if within {
                    self.problem(
                        Worst::Books,
                        format!("segment {} begins within the one before", name(segment)),
                    );
                }
                let end = view_end(view, segment)?;
                self.segment(segment, end, state, present);
                last = Some((segment.first_seq, segment.count, end));
            }
            if last == before {
                return Ok(());
            }
        }
    }

    fn segment(
        &mut self,
        segment: &StoredSegment,
        end: u64,
        state: Option<&CommittedState>,
        present: &mut IntervalSet,
    ) {
        self.segments += 1;
        let decoded = match segment.decode() {
            Ok(decoded) => decoded,
            Err(error) => {
                let first = segment.first_seq;
                let what = if segment.is_sound() { "does not decode" } else { "is damaged" };
                // The segment is reported here and must not be reported again as missing.
                present.insert(first, end.max(first));
                return self
                    .problem(Worst::Readings, format!("segment {first}-{end} {what}: {error}"));
            }
        };
        self.readings += u64::from(segment.count);
        present.insert(segment.first_seq, segment.last_seq());
        // A segment that is newer than the books read before may name boots and sensors that they do not
        // know.
        if let Some(state) = state.filter(|state| segment.first_seq < state.next_seq) {
            self.meaning(segment, &decoded, state);
        }
    }

    /// Checks that the books know the boot, the sensors and the channels of a segment.
    fn meaning(&mut self, segment: &StoredSegment, decoded: &Segment, state: &CommittedState) {
        let meaning = state.meaning();
        if meaning.boots.get(segment.boot).is_none() {
            let boot = segment.boot;
            self.problem(
                Worst::Books,
                format!("segment {}: boot {boot} is not known", name(segment)),
            );
        }
        for (sensor, channels) in decoded.channel_kinds() {
            let known = meaning.registry.sensor(sensor).map_or(0, |sensor| sensor.channels.len());
            let needed = channels.keys().last().map_or(0, |last| usize::from(*last) + 1);
            if meaning.registry.sensor(sensor).is_none() || known < needed {
                let name = name(segment);
                self.problem(
                    Worst::Books,
                    format!("segment {name}: sensor {sensor} has {needed} channels, {known} known"),
                );
            }
        }
    }

    /// Checks every copy in quarantine and collects their numbers by sink.
    fn quarantine(
        &mut self,
        view: &LogView,
        state: &CommittedState,
        copied: &mut BTreeMap<String, IntervalSet>,
    ) -> Result<(), StorageError> {
        for sink in state.refusing_sinks() {
            let mut next = 0;
            loop {
                let page = view.quarantined(&sink, next)?;
                for (copy, sound) in &page {
                    let (first, last) = (copy.segment.first_seq, copy.segment.last_seq());
                    self.quarantined += u64::from(copy.segment.count);
                    let numbers = copied.entry(sink.clone()).or_default();
                    numbers.insert(first, last.max(first));
                    if !sound || copy.segment.decode().is_err() {
                        let problem = format!("copy {first}-{last} in the quarantine of `{sink}`");
                        self.problem(Worst::Readings, format!("{problem} is damaged"));
                    }
                    next = next.max(last.max(first).saturating_add(1));
                }
                if page.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Checks that all readings kept for a sink have a copy, unless a person decided on them meanwhile.
    fn copies(
        &mut self,
        before: &CommittedState,
        after: &CommittedState,
        copied: &BTreeMap<String, IntervalSet>,
    ) {
        for sink in before.refusing_sinks() {
            let kept =
                before.quarantine(&sink).kept().intersection(&after.quarantine(&sink).kept());
            let nothing = IntervalSet::default();
            let missing = kept.difference(copied.get(&sink).unwrap_or(&nothing));
            for (first, last) in missing.intervals() {
                self.problem(
                    Worst::Readings,
                    format!("readings {first}-{last} have no copy in the quarantine of `{sink}`"),
                );
            }
        }
    }

    fn streams(&mut self, view: &LogView) -> Result<(), StorageError> {
        for stream in view.streams()? {
            match view.stream(&stream) {
                Ok(stored) => self.stream(&stream, &stored),
                Err(error) if error.is_damage() => {
                    let name = stream.as_str();
                    self.problem(Worst::Books, format!("stream `{name}`: {}", error_chain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn stream(&mut self, stream: &Stream, stored: &StoredStream) {
        let name = stream.as_str();
        self.snapshots += u64::from(stored.snapshot.is_some());
        let snapshot = stored.snapshot.unwrap_or(0);
        // Events up to the snapshot stay only while they are pending for a sink. A stream of history has no
        // snapshot, and its first events have been forgotten.
        let mut expected = stream.has_aggregate().then_some(snapshot + 1);
        for event in &stored.events {
            self.events += 1;
            if event.event.is_none() {
                let version = event.version;
                self.problem(Worst::Books, format!("event {version} of `{name}` is damaged"));
            }
            if event.version <= snapshot {
                continue;
            }
            if let Some(next) = expected.filter(|next| *next != event.version) {
                self.problem(
                    Worst::Books,
                    format!("stream `{name}` has version {} where {next} belongs", event.version),
                );
            }
            expected = expected.map(|_| event.version + 1);
        }
    }

    /// Checks that every number given out is present, or gone for a reason that the books know.
    fn books(
        &mut self,
        subject: &Subject,
        before: &CommittedState,
        after: &CommittedState,
        present: &IntervalSet,
    ) {
        let sinks = subject.sinks(after);
        let delivered = after.delivered_to_all(&sinks);
        let pending = after.books().pending(&delivered, 1, before.next_seq - 1);
        let missing: Vec<(u64, u64)> =
            pending.into_iter().flat_map(|(first, last)| present.missing(first, last)).collect();
        for (first, last) in missing {
            self.problem(
                Worst::Readings,
                format!(
                    "readings {first}-{last} are neither readable nor delivered nor counted lost"
                ),
            );
        }
        let imbalances = after.ledger(&sinks).imbalances();
        self.ledger_balanced = imbalances.is_empty();
        for imbalance in imbalances {
            self.problem(Worst::Books, format!("ledger: {imbalance}"));
        }
    }

    /// The result as lines for a person: the problems, then the summary.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.problems.clone();
        let more = self.problems_total - self.problems.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more problems"));
        }
        if !self.structure_checked {
            lines
                .push("the structure of so large a file is not checked beside a daemon".to_owned());
        }
        let numbers = match (self.first_seq, self.last_seq) {
            (Some(first), Some(last)) => format!(" (numbers {first} to {last})"),
            _ => String::new(),
        };
        lines.push(format!(
            "{}: {} segments with {} readings{numbers}, {} in quarantine, {} events, {} snapshots, \
             ledger {}",
            if self.sound { "sound" } else { "NOT SOUND" },
            self.segments,
            self.readings,
            self.quarantined,
            self.events,
            self.snapshots,
            if self.ledger_balanced { "balanced" } else { "NOT BALANCED" }
        ));
        lines
    }

    /// Returns an error with the next step if there are problems.
    pub fn outcome(&self) -> Result<(), InspectError> {
        if self.sound {
            return Ok(());
        }
        let (problems, next_step) = (self.problems_total, self.worst.next_step());
        Err(InspectError::Unsound { problems, next_step })
    }
}

fn name(segment: &StoredSegment) -> String {
    format!("{}-{}", segment.first_seq, segment.last_seq())
}

/// The last number of a segment. A damaged one is taken to end where the next one starts.
fn view_end(view: &LogView, segment: &StoredSegment) -> Result<u64, StorageError> {
    match view.after(segment)? {
        u64::MAX => Ok(segment.last_seq()),
        next => Ok(next - 1),
    }
}
