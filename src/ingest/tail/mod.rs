//! The crash tail of one port: the bytes read since the log's last commit, in two files that outlive the
//! process.
//!
//! ```text
//!  tty ─read▶ Tail::append ─▶ decoder ─▶ outbox ─▶ log
//!              │ one write                          │ committed: how many bytes of the port
//!              ▼                                    ▼
//!             .0 │ .1   one file is emptied and reused once the log has stored all that it holds
//! ```
//!
//! A file is only ever appended to or emptied, so that a kill at any instant leaves a valid beginning.
//! `file.rs` has the format of a file, `replay.rs` the recovery.
//!
//! A tail that cannot be written is transient: it is reported once, the bytes are counted, and the port
//! goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::protocols::{Decoder, Partial};
use crate::telemetry::events::{
    Report, TailDamaged, TailOutdated, TailRecordsAgain, TailUnwritten,
};
use file::{TailFile, TailHead, record_head};
use path::NAMES;
pub use path::{Bound, TailPath};
use replay::{FoundTail, Life, TailReplay};

mod file;
mod path;
pub(super) mod replay;

/// How long a file is used before the other one takes over. By about a commit later everything in it is
/// stored.
const TURN_AFTER_MS: i64 = 1000;
/// How long a tail that cannot be written waits before the next attempt.
const RETRY_AFTER_MS: i64 = 1000;
/// One of the two files of a tail.
#[derive(Debug, Default)]
struct Slot {
    file: Option<File>,
    bytes: u64,
    /// The part of `bytes` that is the head. It does not count against the bound.
    head_bytes: u64,
    /// The position from which this file needs nothing of the other one. Usually it is the start of the
    /// file; if a frame was partly read at that time, it is the start of that frame.
    from: u64,
    begun_ms: i64,
    /// Whether nothing may be appended any more, because the file may end in an incomplete record.
    sealed: bool,
}

/// Records the reads of one port in two files, and finds what a predecessor left there.
#[derive(Debug)]
pub(crate) struct Tail {
    port: String,
    path: TailPath,
    life: Life,
    slots: [Slot; 2],
    current: usize,
    /// Whether the line was interrupted since the last record.
    interrupted: bool,
    /// When to try again, in milliseconds since boot. `None` while the tail can be written.
    retry_at_ms: Option<i64>,
    /// The number of bytes not recorded since the last `take_unrecorded`.
    unrecorded: u64,
}

/// One read, to be recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) position: u64,
    pub(crate) at_ms: i64,
    pub(crate) bytes: &'a [u8],
}

impl Tail {
    pub(crate) fn new(port: &str, path: TailPath, life: Life) -> Self {
        Self {
            port: port.to_owned(),
            path,
            life,
            slots: <[Slot; 2]>::default(),
            current: 0,
            interrupted: false,
            retry_at_ms: None,
            unrecorded: 0,
        }
    }

    /// Reads the files of a predecessor. `start` is the number of the port's bytes that the log has stored.
    /// `None` if nothing is left to recover.
    pub(crate) fn leftover(&self, start: u64) -> Option<TailReplay> {
        let (mut files, mut damaged) = (Vec::new(), 0);
        drop(std::fs::remove_file(self.path.file("new")));
        for name in NAMES {
            match read(&self.path.file(name)) {
                Ok(data) => {
                    let parsed = TailFile::parse(data);
                    damaged += parsed.damaged_bytes;
                    files.extend(parsed.file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.report_unwritten(&error.to_string()),
            }
        }
        if damaged > 0 {
            TailDamaged { port: &self.port, bytes: damaged }.report();
        }
        let FoundTail { replay, outdated_bytes } = TailReplay::of(files, &self.life, start);
        if outdated_bytes > 0 {
            TailOutdated { port: &self.port, bytes: outdated_bytes }.report();
        }
        replay
    }

    /// Makes the recovered tail the first file of this tail, by a rename, so that a kill leaves either the
    /// old state or the new one. The file stays until the log has stored all of it.
    pub(crate) fn adopt(&mut self, replay: &TailReplay, now_ms: i64) {
        let end = replay.end();
        match self.merge(replay) {
            Ok((file, bytes)) => {
                self.slots[0] = Slot { file: Some(file), bytes, from: end, ..Slot::default() };
                self.slots[1] = Slot::default();
                self.truncate(1);
            }
            Err(error) => {
                // The files stay as they are, and are not written to before everything is stored.
                for slot in &mut self.slots {
                    *slot = Slot { bytes: 1, from: end, sealed: true, ..Slot::default() };
                }
                self.failed(&error, now_ms, 0);
            }
        }
        self.current = 0;
    }

    fn merge(&self, replay: &TailReplay) -> io::Result<(File, u64)> {
        let path = self.path.file("new");
        let mut file = open(&path)?;
        file.set_len(0)?;
        let head = replay.head(&self.life).encode();
        file.write_all(&head)?;
        let mut bytes = head.len() as u64;
        for (position, at_ms, interrupted, content) in replay.records() {
            bytes += write_record(&mut file, position, at_ms, interrupted, content)?;
        }
        std::fs::rename(&path, self.path.file("0"))?;
        Ok((file, bytes))
    }

    /// Stops recording. Without the log the position of the port's bytes is not known.
    pub(crate) fn disable(&mut self) {
        self.retry_at_ms = Some(i64::MAX);
    }

    /// Records a read. It must be called before the read is decoded. `stored` returns the number of the
    /// port's bytes that the log has stored.
    pub(crate) fn append(&mut self, chunk: Chunk<'_>, decoder: &Decoder, stored: impl Fn() -> u64) {
        let failing = self.retry_at_ms;
        if failing.is_some_and(|at| chunk.at_ms < at) {
            self.unrecorded += chunk.bytes.len() as u64;
            return;
        }
        match self.try_append(chunk, decoder, stored) {
            Ok(()) => {
                if failing.is_some() {
                    self.retry_at_ms = None;
                    TailRecordsAgain { port: &self.port }.report();
                }
            }
            Err(error) => self.failed(&error, chunk.at_ms, chunk.bytes.len()),
        }
    }

    fn try_append(
        &mut self,
        chunk: Chunk<'_>,
        decoder: &Decoder,
        stored: impl Fn() -> u64,
    ) -> io::Result<()> {
        let slot = &self.slots[self.current];
        let stale = chunk.at_ms - slot.begun_ms >= TURN_AFTER_MS;
        if slot.bytes == 0 || stale || self.is_crowded() {
            self.try_turn(chunk.position, chunk.at_ms, decoder, stored)?;
        }
        if self.is_crowded() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the log has stored nothing for too long",
            ));
        }
        let (at, slot) = (chunk.at_ms, &mut self.slots[self.current]);
        let Some(file) = &mut slot.file else { return Err(io::ErrorKind::NotFound.into()) };
        slot.bytes += write_record(file, chunk.position, at, self.interrupted, chunk.bytes)?;
        self.interrupted = false;
        Ok(())
    }

    /// Starts the other file, unless its content is still needed.
    pub(crate) fn turn(
        &mut self,
        position: u64,
        at_ms: i64,
        decoder: &Decoder,
        stored: impl Fn() -> u64,
    ) {
        if let Err(error) = self.try_turn(position, at_ms, decoder, stored) {
            self.failed(&error, at_ms, 0);
        }
    }

    fn try_turn(
        &mut self,
        position: u64,
        at_ms: i64,
        decoder: &Decoder,
        stored: impl Fn() -> u64,
    ) -> io::Result<()> {
        let fresh = self.slots[self.current].bytes == 0;
        let next = if fresh { self.current } else { 1 - self.current };
        if self.slots[next].bytes > 0 && stored() < self.slots[self.current].from {
            return Ok(());
        }
        let head = TailHead {
            epoch: self.life.epoch,
            boot: self.life.boot.clone(),
            begin: position,
            partial_bytes: decoder.partial().bytes,
            half_read: decoder.half_read().to_vec(),
            attempts: 0,
            knowledge: decoder.knowledge(),
        };
        let head = head.encode();
        // The file is opened again each time: whatever happened to the old one, this one is in the folder.
        self.slots[next] = Slot::default();
        let mut file = open(&self.path.file(NAMES[next]))?;
        file.set_len(0)?;
        file.write_all(&head)?;
        let bytes = head.len() as u64;
        self.slots[next] = Slot {
            file: Some(file),
            bytes,
            head_bytes: bytes,
            from: position - decoder.partial().bytes,
            begun_ms: at_ms,
            sealed: false,
        };
        self.current = next;
        Ok(())
    }

    /// Whether the current file accepts no more records.
    fn is_crowded(&self) -> bool {
        let slot = &self.slots[self.current];
        slot.sealed || slot.bytes - slot.head_bytes >= self.path.file_bytes_max()
    }

    /// Whether nothing more can be recorded until the log has stored more. It is safe to wait for that: the
    /// readings it depends on are from lines that ended before the current file was started, so they have
    /// been handed over.
    pub(crate) fn is_full(&self, stored: impl Fn() -> u64) -> bool {
        self.retry_at_ms.is_none()
            && self.is_crowded()
            && self.slots[1 - self.current].bytes > 0
            && stored() < self.slots[self.current].from
    }

    /// Notes that the line was interrupted, so the next read does not continue the last one.
    pub(crate) fn interrupted(&mut self) {
        self.interrupted = true;
    }

    /// Empties the files if the log has stored everything that was read and no frame is partly read.
    pub(crate) fn clear_if_stored(
        &mut self,
        position: u64,
        decoder: &Decoder,
        stored: impl Fn() -> u64,
    ) {
        if self.slots.iter().all(|slot| slot.bytes == 0)
            || decoder.partial() != Partial::default()
            || stored() < position
        {
            return;
        }
        self.clear();
    }

    /// Empties both files.
    pub(crate) fn clear(&mut self) {
        (0..2).for_each(|slot| self.truncate(slot));
    }

    /// Returns the number of bytes that were not recorded since the last call.
    pub(crate) fn take_unrecorded(&mut self) -> u64 {
        std::mem::take(&mut self.unrecorded)
    }

    fn truncate(&mut self, slot: usize) {
        let path = self.path.file(NAMES[slot]);
        let emptied = match &self.slots[slot].file {
            Some(file) => file.set_len(0),
            None => OpenOptions::new().write(true).truncate(true).open(path).map(drop),
        };
        // If a file cannot be emptied, its positions still show that the log has stored its content.
        if emptied.is_ok() {
            let file = self.slots[slot].file.take();
            self.slots[slot] = Slot { file, ..Slot::default() };
        }
    }

    fn failed(&mut self, error: &io::Error, at_ms: i64, bytes: usize) {
        self.unrecorded += bytes as u64;
        if self.retry_at_ms.replace(at_ms + RETRY_AFTER_MS).is_none() {
            self.report_unwritten(&error.to_string());
        }
        // The file may end in half a record, and records after that would not be read.
        let slot = &mut self.slots[self.current];
        let cut = slot.file.as_ref().is_some_and(|file| file.set_len(slot.bytes).is_ok());
        if slot.bytes > 0 && !cut {
            slot.sealed = true;
        }
        if !cut {
            slot.file = None;
        }
    }

    fn report_unwritten(&self, reason: &str) {
        let folder = self.path.stem.parent().unwrap_or(Path::new("."));
        TailUnwritten { port: &self.port, folder, reason }.report();
    }
}

/// Writes a record with one call. If it fails, a part of the record may have been written.
fn write_record(
    file: &mut File,
    position: u64,
    at_ms: i64,
    interrupted: bool,
    bytes: &[u8],
) -> io::Result<u64> {
    let head = record_head(position, at_ms, interrupted, bytes);
    let length = head.len() + bytes.len();
    if file.write_vectored(&[IoSlice::new(&head), IoSlice::new(bytes)])? < length {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(length as u64)
}

fn open(path: &Path) -> io::Result<File> {
    // The file contains readings, so only its owner may read it.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    File::open(path)?.read_to_end(&mut data)?;
    Ok(data)
}

#[cfg(test)]
mod tests;
