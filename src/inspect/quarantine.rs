//! `outstation quarantine list` and `show`: print the readings that sinks refused, beside a daemon or
//! without one.

use std::fmt::Write as _;

use outstation_codec::Dated;
use serde_json::{Map, Value};

use super::lines::{OutputFormat, ReadingLines, printable};
use super::output::OutputFile;
use super::readings::{of_segment, state_of};
use super::{InspectError, Subject};
use crate::console::complain;
use crate::domain::model::boots::rfc3339;
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::QuarantineRow;
use crate::event_log::inspect::{CommittedState, LogView};

/// The way in which the readings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line for each reading.
    List,
    /// Several lines for each reading, with everything that is known of it.
    Full,
    /// One JSON object for each reading.
    Json,
}

/// The selection of readings, and how they are shown.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub sink: Option<String>,
    /// Ranges of numbers, with the first and the last of each; `None` selects all.
    pub numbers: Option<Vec<(u64, u64)>>,
    pub style: Style,
}

/// The length in characters to which a line of the list cuts the reason.
const REASON_CHARS: usize = 60;

/// Prints the selected readings and returns how many they were. Fails if a sink or numbers were given and
/// match nothing.
pub fn quarantine(subject: &Subject, wanted: &Wanted) -> Result<u64, InspectError> {
    let view = LogView::open(&subject.path).map_err(InspectError::at(&subject.path))?;
    let state = state_of(&view)?;
    let numbers = wanted.numbers.as_ref().map(|ranges| IntervalSet::of(ranges));
    let mut listing = Listing {
        state: &state,
        style: wanted.style,
        numbers,
        lines: ReadingLines::of(OutputFormat::Json, &subject.device, view.epoch()),
        table: ReadingLines::of(OutputFormat::Table, &subject.device, view.epoch()),
        output: OutputFile::stdout(),
        count: 0,
    };
    let sinks = state.refusing_sinks();
    let is_wanted = |sink: &&String| wanted.sink.as_ref().is_none_or(|wanted| wanted == *sink);
    for sink in sinks.iter().filter(is_wanted) {
        listing.sink(&view, sink)?;
    }
    let count = listing.count;
    listing.output.finish()?;
    match (count, &wanted.numbers, &wanted.sink) {
        (0, Some(_), _) | (0, _, Some(_)) => Err(InspectError::NothingSuch),
        _ => Ok(count),
    }
}

/// A listing in progress.
struct Listing<'a> {
    state: &'a CommittedState,
    style: Style,
    numbers: Option<IntervalSet>,
    lines: ReadingLines,
    table: ReadingLines,
    output: OutputFile,
    count: u64,
}

impl Listing<'_> {
    fn sink(&mut self, view: &LogView, sink: &str) -> Result<(), InspectError> {
        let kept = self.state.quarantine(sink).kept();
        let mut next = kept.intervals().first().map_or(0, |(first, _)| *first);
        loop {
            let page = view.quarantined(sink, next).map_err(InspectError::at(view.path()))?;
            let before = next;
            for (copy, sound) in &page {
                let first = copy.segment.first_seq;
                // A damaged copy counts as one reading at least.
                let last = copy.segment.last_seq().max(first);
                next = next.max(last.saturating_add(1));
                // Meanwhile the daemon may have delivered this copy, or be about to remove it.
                let asked = self.asked(&kept, first, last);
                if asked.is_empty() || (*sound && self.copy(copy, &asked)) {
                    continue;
                }
                complain(&format!(
                    "readings {first}-{last} in the quarantine of `{sink}` are damaged; skipped"
                ));
            }
            if next == before || !self.output.is_open() {
                return Ok(());
            }
        }
    }

    /// The numbers from `first` to `last` that are both kept and selected.
    fn asked(&self, kept: &IntervalSet, first: u64, last: u64) -> IntervalSet {
        let kept = IntervalSet::of(&kept.within(first, last));
        self.numbers.as_ref().map_or(kept.clone(), |numbers| kept.intersection(numbers))
    }

    /// Prints the readings `asked` for of one copy. Returns false if the copy could not be decoded.
    fn copy(&mut self, copy: &QuarantineRow, asked: &IntervalSet) -> bool {
        let Self { state, style, lines, table, output, count, .. } = self;
        let read = of_segment(&copy.segment, state.meaning(), 0, |dated| {
            if !asked.contains(dated.reading.seq) {
                return;
            }
            *count += 1;
            let text = match style {
                Style::List => line(copy, &row(table, dated)),
                Style::Full => page(copy, &row(table, dated), state),
                Style::Json => object(copy, dated, lines, state),
            };
            output.put(text.as_bytes());
        });
        read.is_ok()
    }
}

/// The number, time, sensor and values of a reading, as a row of the table.
fn row(table: &ReadingLines, dated: &Dated<'_>) -> String {
    let mut text = Vec::new();
    table.add(&mut text, dated);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

fn line(copy: &QuarantineRow, row: &str) -> String {
    let reason = printable(&copy.reason);
    let mut short: String = reason.chars().take(REASON_CHARS).collect();
    if short.len() < reason.len() {
        short.push('…');
    }
    let replayed = if copy.replayed { "  (replayed)" } else { "" };
    format!("{:<12}{row}  {short}{replayed}\n", copy.sink)
}

fn page(copy: &QuarantineRow, row: &str, state: &CommittedState) -> String {
    let mut page = format!("{}\n", row.trim_start());
    let (at, set) = state.meaning().boots.date(copy.at);
    let unset = if set { "" } else { " (clock unset)" };
    let offered = if copy.replayed { "offered again" } else { "kept, not offered" };
    // Writing into memory does not fail.
    let _ = write!(
        page,
        "  sink     {}, {offered}\n  refused  {}{unset}\n  reason   {}\n",
        copy.sink,
        rfc3339(at),
        printable(&copy.reason)
    );
    page
}

/// The JSON object that a sink receives, with the sink, the reason and the time of the refusal added.
fn object(
    copy: &QuarantineRow,
    dated: &Dated<'_>,
    lines: &ReadingLines,
    state: &CommittedState,
) -> String {
    let mut text = Vec::new();
    lines.add(&mut text, dated);
    let mut object: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
    let (at, set) = state.meaning().boots.date(copy.at);
    let refused = set.then(|| rfc3339(at).to_string());
    object.insert("sink".to_owned(), copy.sink.clone().into());
    object.insert("reason".to_owned(), copy.reason.clone().into());
    object.insert("refused".to_owned(), refused.into());
    object.insert("replayed".to_owned(), copy.replayed.into());
    format!("{}\n", Value::Object(object))
}
