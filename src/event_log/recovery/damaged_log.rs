//! Reads what is left of a damaged log, for a person. The daemon's own way is in `salvage.rs`.
//!
//! The files are only read, and never through SQLite.

use std::path::Path;

use outstation_codec::StoredSegment;

use super::carve::{self, Carving};
use super::reconstruct;
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::inspect::Meaning;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::error::{Result, StorageError};
use crate::event_log::store::files::Files;

/// The sound rows of a log.
#[derive(Debug)]
pub struct DamagedLogReader {
    carving: Carving,
    aggregates: Aggregates,
}

impl DamagedLogReader {
    /// Reads a log and the journal beside it. No process may write to them meanwhile.
    pub fn of(path: &Path) -> Result<Self> {
        let files = Files::of(path);
        if !path.exists() && !files.journal().exists() {
            return Err(StorageError::Absent { path: path.to_owned() });
        }
        if path.exists() && files.is_held() {
            return Err(StorageError::InUse { path: path.to_owned() });
        }
        let carving = carve::carve(files.log(), &files.journal())
            .map_err(|source| files.failed("read the damaged log", source))?;
        let aggregates = reconstruct::replay(&carving);
        Ok(Self { carving, aggregates })
    }

    /// The last known epoch of the log; 0 if none is known.
    pub fn epoch(&self) -> u64 {
        self.carving.meta().map_or(0, |meta| meta.row.epoch)
    }

    pub fn events(&self) -> usize {
        reconstruct::events(&self.carving).count()
    }

    pub fn snapshots(&self) -> usize {
        self.carving.snapshots().len()
    }

    /// Visits every segment in order, then the readings that only the quarantine still holds, until `visit`
    /// returns false.
    pub fn for_each(&mut self, mut visit: impl FnMut(&StoredSegment, Meaning<'_>) -> bool) {
        let mut numbers = IntervalSet::default();
        for found in reconstruct::segments(&self.carving) {
            let Some(new) = self.carving.segment(&found) else { continue };
            numbers.insert(new.segment.first_seq, new.segment.last_seq());
            reconstruct::introduce(&new.segment, &mut self.aggregates);
            let Aggregates { registry, boots, .. } = &self.aggregates;
            if !visit(&new.segment, Meaning { registry, boots }) {
                return;
            }
        }
        for copy in self.carving.quarantined() {
            let segment = copy.row.segment;
            for (first, last) in numbers.missing(segment.first_seq, segment.last_seq()) {
                let Ok(part) = segment.cut(first, last) else { continue };
                numbers.insert(first, last);
                reconstruct::introduce(&part, &mut self.aggregates);
                let Aggregates { registry, boots, .. } = &self.aggregates;
                if !visit(&part, Meaning { registry, boots }) {
                    return;
                }
            }
        }
    }
}
