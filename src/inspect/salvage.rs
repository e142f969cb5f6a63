//! `outstation log salvage`: writes the readings that are left in a damaged log.

use std::path::{Path, PathBuf};

use super::lines::{OutputFormat, ReadingLines};
use super::output::OutputFile;
use super::{InspectError, readings};
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::damaged_log::DamagedLogReader;

/// The arguments of a salvage.
#[derive(Clone, Debug)]
pub struct Salvage {
    pub from: PathBuf,
    /// A file, or the folder to create one in; `None` is standard output.
    pub to: Option<PathBuf>,
    pub device: String,
    pub format: OutputFormat,
    pub replace: bool,
}

/// The result of a salvage.
#[derive(Debug, Default)]
pub struct SalvageReport {
    pub readings: u64,
    pub segments: u64,
    /// Segments whose checksum is right and whose content does not decode.
    pub undecodable: u64,
    /// The numbers of the readings that were found.
    pub numbers: IntervalSet,
    pub events: usize,
    pub snapshots: usize,
    pub sensors: usize,
    pub to: Option<PathBuf>,
}

/// Writes the readings that are left in a damaged log. The log itself is not written to.
pub fn salvage(salvage: &Salvage) -> Result<SalvageReport, InspectError> {
    let mut log = DamagedLogReader::of(&salvage.from).map_err(InspectError::Storage)?;
    let lines = ReadingLines::of(salvage.format, &salvage.device, log.epoch());
    let to = salvage.to.as_deref().map(|to| file_in(to, salvage));
    let mut output = match &to {
        None => OutputFile::stdout(),
        Some(path) if is_same(path, &salvage.from) || is_same(path, &journal(&salvage.from)) => {
            return Err(InspectError::Own { path: path.clone() });
        }
        Some(path) => OutputFile::file(path, salvage.replace)?,
    };
    output.put(lines.header().as_bytes());
    let (events, snapshots) = (log.events(), log.snapshots());
    let mut found = SalvageReport { events, snapshots, to, ..SalvageReport::default() };
    let mut text = Vec::new();
    log.for_each(|segment, meaning| {
        let read = readings::of_segment(segment, meaning, 0, |dated| {
            text.clear();
            lines.add(&mut text, dated);
            output.put(&text);
            found.readings += 1;
        });
        match read {
            Ok(()) => {
                found.segments += 1;
                found.numbers.insert(segment.first_seq, segment.last_seq());
            }
            Err(_) => found.undecodable += 1,
        }
        found.sensors = meaning.registry.len();
        output.is_open()
    });
    output.finish()?;
    Ok(found)
}

/// The path `to` itself, or if it is a folder a file in it that is named after the log.
fn file_in(to: &Path, salvage: &Salvage) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    let mut name = salvage.from.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(salvage.format.extension());
    to.join(name)
}

fn journal(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn is_same(left: &Path, right: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    id(left).is_some_and(|left| id(right) == Some(left))
}

impl SalvageReport {
    /// The report as lines for a person.
    pub fn lines(&self, from: &Path) -> Vec<String> {
        let gaps = self.numbers.gaps().count();
        let numbers = match (self.numbers.intervals().first(), self.numbers.last()) {
            (Some((first, _)), Some(last)) => format!(", numbers {first} to {last}, {gaps} gaps"),
            _ => String::new(),
        };
        let mut lines = vec![format!(
            "`{}`: {} readings in {} segments{numbers}; {} sensors, {} events, {} snapshots",
            from.display(),
            self.readings,
            self.segments,
            self.sensors,
            self.events,
            self.snapshots
        )];
        if self.undecodable > 0 {
            lines.push(format!("{} segments are whole and do not decode", self.undecodable));
        }
        if let Some(to) = &self.to {
            lines.push(format!("written to `{}`; the log was not touched", to.display()));
        }
        lines
    }
}
