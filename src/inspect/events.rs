//! Prints operational events as text.

use outstation_codec::{EventRecord, Moment};
use serde::Serialize;

use super::InspectError;
use super::lines::{OutputFormat, printable};
use super::output::OutputFile;
use super::readings::{Selection, state_of};
use crate::console::complain;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::event_line::EventLine;
use crate::event_log::inspect::{LogView, StoredEvent};

const CSV_HEADER: &str = "position,time,clock,stream,kind,detail\r\n";

/// The line above the first event, which only CSV has.
pub fn header(format: OutputFormat) -> &'static str {
    if format == OutputFormat::Csv { CSV_HEADER } else { "" }
}

/// The events of a log, with the selection and the format in which they are shown.
pub(super) struct Known<'a> {
    pub(super) view: &'a LogView,
    pub(super) device: &'a str,
    pub(super) format: OutputFormat,
    pub(super) selection: &'a Selection,
}

impl Known<'_> {
    /// Shows the events after the position `after`, or with a limit the newest of them, and returns the
    /// last position. The log keeps some thousands of events at most, so all of them fit into memory.
    pub(super) fn show(
        &self,
        after: u64,
        limit: Option<u64>,
        output: &mut OutputFile,
    ) -> Result<u64, InspectError> {
        let state = state_of(self.view)?;
        let (mut position, mut rows) = (after, Vec::new());
        loop {
            let page = self.view.published(position).map_err(InspectError::at(self.view.path()))?;
            let Some(last) = page.last() else { break };
            position = last.position;
            for stored in &page {
                let date = |moment| state.meaning().boots.date(moment);
                let (time_ms, set) = date(Moment { boot: stored.boot, ms: stored.at_ms });
                if self.takes(&stored.stream, time_ms, set) {
                    rows.extend(self.row(stored, set, date));
                }
            }
        }
        let most = limit.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let newest = rows.len().saturating_sub(most);
        rows[newest..].iter().all(|row| output.put(row.as_bytes()));
        Ok(position)
    }

    fn takes(&self, stream: &Stream, time_ms: i64, set: bool) -> bool {
        let Selection { since_ms, port, .. } = self.selection;
        let recent = since_ms.is_none_or(|since| !set || time_ms >= since);
        recent && port.as_ref().is_none_or(|port| *stream == Stream::port(port))
    }

    fn row(
        &self,
        stored: &StoredEvent,
        set: bool,
        date: impl Fn(Moment) -> (i64, bool),
    ) -> Option<String> {
        let StoredEvent { position, stream, .. } = stored;
        let Some(Event::Published(event)) = &stored.event else {
            complain(&format!("event {position} of `{}` is damaged; skipped", stream.as_str()));
            return None;
        };
        let record = EventRecord {
            position: *position,
            stream: stream.as_str().to_owned(),
            boot: stored.boot,
            at_ms: stored.at_ms,
            event: event.clone(),
        };
        let line = EventLine::new(self.device, self.view.epoch(), &record, date);
        let (kind, time) = (line.kind, &line.time);
        let clock = if set { "set" } else { "unset" };
        Some(match self.format {
            OutputFormat::Table => {
                let unset = if set { "" } else { " (clock unset)" };
                let facts = printable(&text(&line.facts));
                format!("{position:>8}  {time}{unset}  {}  {kind}  {facts}\n", stream.as_str())
            }
            OutputFormat::Csv => {
                let facts = text(&line.facts).replace('"', "\"\"");
                format!("{position},{time},{clock},{},{kind},\"{facts}\"\r\n", stream.as_str())
            }
            OutputFormat::Json => format!("{}\n", text(&line)),
        })
    }
}

/// The value as JSON, or nothing if JSON cannot express it.
fn text(said: &impl Serialize) -> String {
    serde_json::to_string(said).unwrap_or_default()
}
