//! `outstation log show`: prints readings or events for a person or a script, and follows new ones.

use std::future::Future;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::events;
use super::lines::{OutputFormat, ReadingLines};
use super::output::{self, OutputFile};
use super::readings::{self, Selection, state_of};
use super::{InspectError, Subject};
use crate::event_log::inspect::LogView;
use crate::event_log::store::error::StorageError;

/// The interval at which the log is checked for changes. A check reads the index of the journal, which
/// takes some microseconds, and works whatever happens to the files. A file watch on the journal would wake
/// this process at each of the dozen writes of every commit, before the commit is complete, and miss a
/// journal that is created anew.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The arguments of `show`.
#[derive(Clone, Debug)]
pub struct Show {
    pub events: bool,
    pub selection: Selection,
    /// The number of readings or events to show, counted from the newest; `None` shows all.
    pub limit: Option<u64>,
    pub format: OutputFormat,
}

/// A log that is being shown, with the place to continue from.
struct Showing<'a> {
    subject: &'a Subject,
    show: &'a Show,
    view: LogView,
    lines: ReadingLines,
    /// The number of the reading, or the position of the event, to continue from.
    next: u64,
    output: OutputFile,
}

/// Prints the readings or events that are in the log.
pub fn show(subject: &Subject, show: &Show) -> Result<(), InspectError> {
    Showing::begin(subject, show)?.output.finish()
}

/// Prints the readings or events in the log and then new ones, until `ended` resolves or the output is
/// closed.
pub async fn follow(
    subject: &Subject,
    show: &Show,
    ended: impl Future<Output = ()>,
) -> Result<(), InspectError> {
    let mut showing = Showing::begin(subject, show)?;
    let mut version = None;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(ended);
    loop {
        // Both arms are cancel-safe: waiting for a tick or a signal loses nothing.
        tokio::select! {
            () = &mut ended => return Ok(()),
            _ = looks.tick() => {}
        }
        if output::is_abandoned() {
            return Ok(());
        }
        showing.reopen_if_replaced()?;
        let now = showing.view.data_version().map_err(InspectError::at(&subject.path))?;
        if version.replace(now) != Some(now) {
            showing.resume()?;
        }
    }
}

impl<'a> Showing<'a> {
    fn begin(subject: &'a Subject, show: &'a Show) -> Result<Self, InspectError> {
        let view = LogView::open(&subject.path).map_err(InspectError::at(&subject.path))?;
        let lines = ReadingLines::of(show.format, &subject.device, view.epoch());
        let mut showing =
            Self { subject, show, view, lines, next: 0, output: OutputFile::stdout() };
        let header = if show.events { events::header(show.format) } else { showing.lines.header() };
        showing.output.put(header.as_bytes());
        if show.events {
            showing.show_events(show.limit)?;
        } else {
            showing.show_readings()?;
        }
        showing.output.flush()?;
        Ok(showing)
    }

    fn show_readings(&mut self) -> Result<(), InspectError> {
        let state = state_of(&self.view)?;
        let failed = InspectError::at(&self.subject.path);
        let Show { selection, limit, .. } = self.show;
        let from = match selection.since_ms {
            Some(since) => readings::begin_since(&self.view, &state, since).map_err(&failed)?,
            None => 0,
        };
        let (from, pass) = match limit {
            Some(most) => readings::begin_with_newest(&self.view, &state, from, selection, *most)
                .map_err(&failed)?,
            None => (from, 0),
        };
        self.walk(from, pass)
    }

    /// Prints the selected readings from a number on, without the first `pass` of them.
    fn walk(&mut self, from: u64, mut pass: u64) -> Result<(), InspectError> {
        let state = state_of(&self.view)?;
        let (output, lines) = (&mut self.output, &self.lines);
        let mut text = Vec::new();
        let walked = readings::walk(&self.view, &state, from, &self.show.selection, |dated| {
            if pass > 0 {
                pass -= 1;
                return true;
            }
            text.clear();
            lines.add(&mut text, dated);
            output.put(&text)
        });
        self.output.flush()?;
        self.next = walked.map_err(InspectError::at(&self.subject.path))?;
        Ok(())
    }

    fn show_events(&mut self, limit: Option<u64>) -> Result<(), InspectError> {
        let known = events::Known {
            view: &self.view,
            device: &self.subject.device,
            format: self.show.format,
            selection: &self.show.selection,
        };
        let shown = known.show(self.next, limit, &mut self.output);
        self.output.flush()?;
        self.next = shown?;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), InspectError> {
        if self.show.events { self.show_events(None) } else { self.walk(self.next, 0) }
    }

    /// Opens the new file if the log was replaced. A damaged log may have been salvaged into a new file, or
    /// a new log started, so the numbers may go back.
    fn reopen_if_replaced(&mut self) -> Result<(), InspectError> {
        if !self.view.is_replaced() {
            return Ok(());
        }
        match LogView::open(&self.subject.path) {
            // The daemon is between two renames; the next check finds the file.
            Err(StorageError::Absent { .. }) => Ok(()),
            Err(error) => Err(InspectError::at(&self.subject.path)(error)),
            Ok(view) => {
                self.lines = ReadingLines::of(self.show.format, &self.subject.device, view.epoch());
                self.view = view;
                let end = if self.show.events {
                    state_of(&self.view)?.position()
                } else {
                    state_of(&self.view)?.next_seq
                };
                self.next = self.next.min(end);
                Ok(())
            }
        }
    }
}
