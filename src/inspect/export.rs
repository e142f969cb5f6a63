//! `outstation log export`: writes all readings, or those that some sink does not have yet, to a file.

use std::path::{Path, PathBuf};

use super::lines::{OutputFormat, ReadingLines};
use super::output::OutputFile;
use super::readings::{self, Selection, state_of};
use super::{InspectError, Subject};
use crate::event_log::inspect::LogView;

/// The arguments of an export.
#[derive(Clone, Debug)]
pub struct Export {
    /// The file to write; `None` is standard output.
    pub to: Option<PathBuf>,
    pub format: OutputFormat,
    /// Whether only readings that some sink does not have yet are written.
    pub pending: bool,
    /// Whether an existing file is replaced.
    pub replace: bool,
}

/// Writes the selected readings and returns how many they were. Damaged segments are reported on stderr and
/// skipped.
pub fn export(subject: &Subject, export: &Export) -> Result<u64, InspectError> {
    let failed = InspectError::at(&subject.path);
    let view = LogView::open(&subject.path).map_err(&failed)?;
    let state = state_of(&view)?;
    let delivered = state.delivered_to_all(&subject.sinks(&state));
    let selection =
        Selection { delivered: export.pending.then_some(delivered), ..Selection::default() };
    let mut output = open(&view, export)?;
    let lines = ReadingLines::of(export.format, &subject.device, view.epoch());
    output.put(lines.header().as_bytes());
    let (mut count, mut text) = (0, Vec::new());
    let walked = readings::walk(&view, &state, 0, &selection, |dated| {
        text.clear();
        lines.add(&mut text, dated);
        count += 1;
        output.put(&text)
    });
    output.finish()?;
    walked.map_err(failed)?;
    Ok(count)
}

fn open(view: &LogView, export: &Export) -> Result<OutputFile, InspectError> {
    match &export.to {
        None => Ok(OutputFile::stdout()),
        Some(path) if view.owns(path) => Err(InspectError::Own { path: path.clone() }),
        Some(path) => OutputFile::file(path, export.replace),
    }
}

/// The path to write to; `None` for `-`, which is standard output.
pub fn target(path: &Path) -> Option<PathBuf> {
    (path != Path::new("-")).then(|| path.to_owned())
}
