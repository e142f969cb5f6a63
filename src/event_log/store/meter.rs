//! Counts what the log asks of the storage: the bytes and syncs of its commits and checkpoints.
//!
//! With `synchronous=FULL`, SQLite's write-ahead log asks for the following and nothing else:
//!
//! | | writes | syncs |
//! |---|---|---|
//! | a commit | a frame for each page it changed | the journal |
//! | one that begins or restarts the journal | its header as well | the journal once more |
//! | the first one after opening | | the journal's folder as well |
//! | a checkpoint | each page once, as in the last of its frames | the journal |
//! | one that moves the whole journal | | the file as well |
//!
//! The extent of the journal can be read without a system call, so each commit is counted exactly. What
//! opening, salvage and closing write is not counted.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::Connection;

use super::error::Result;
use super::journal::{self, FRAME_HEADER, HEADER};
use super::queries::{self, Extent};
use super::schema::JOURNAL_PAGES;

/// What was written since the last call of `take`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteCost {
    pub(crate) syncs: u64,
    pub(crate) bytes: u64,
}

/// Counts the writes, and moves the journal into the file when it has become long. SQLite could do that by
/// itself, but not countably.
#[derive(Debug)]
pub(crate) struct WriteMeter {
    journal: PathBuf,
    count: Count,
}

impl WriteMeter {
    pub(crate) fn of(connection: &Connection, journal: PathBuf) -> Result<Self> {
        let page_bytes = queries::pages(connection)?.bytes;
        let extent = queries::journal_extent(connection)?;
        Ok(Self { journal, count: Count::new(page_bytes, extent) })
    }

    /// Counts a commit. A failure here does not undo the commit, and the work is tried again after the next
    /// one.
    pub(crate) fn committed(&mut self, connection: &Connection) {
        let Ok(extent) = queries::journal_extent(connection) else { return };
        self.count.committed(extent);
        if extent.frames >= u64::from(JOURNAL_PAGES) && extent.moved < extent.frames {
            drop(self.checkpoint(connection, "PASSIVE"));
        }
    }

    /// Moves the journal into the file. Returns whether all of it could be moved, with no reader in the
    /// way.
    pub(crate) fn checkpoint(&mut self, connection: &Connection, mode: &str) -> Result<bool> {
        let Extent { frames, moved } = self.count.extent;
        // If the journal cannot be read now, the checkpoint fails as well and reports it.
        let pages = journal::pages(&self.journal, self.count.page_bytes, moved..frames);
        let extent = queries::checkpoint(connection, mode)?;
        self.count.checkpointed(extent, &pages.unwrap_or_default());
        Ok(extent.moved == extent.frames)
    }

    pub(crate) fn take(&mut self) -> WriteCost {
        std::mem::take(&mut self.count.spent)
    }
}

#[derive(Debug)]
struct Count {
    page_bytes: u64,
    extent: Extent,
    folder_synced: bool,
    spent: WriteCost,
}

impl Count {
    fn new(page_bytes: u64, extent: Extent) -> Self {
        Self { page_bytes, extent, folder_synced: false, spent: WriteCost::default() }
    }

    fn committed(&mut self, now: Extent) {
        let before = std::mem::replace(&mut self.extent, now);
        if now == before {
            return; // nothing was changed
        }
        // The journal was restarted if all of it had been moved and none of the new one has.
        let restarted = before.frames == 0 || now.moved < before.moved;
        let frames = if restarted { now.frames } else { now.frames.saturating_sub(before.frames) };
        self.spent.bytes += frames * (FRAME_HEADER as u64 + self.page_bytes);
        self.sync();
        if restarted {
            self.spent.bytes += HEADER as u64;
            self.sync();
        }
    }

    /// `pages` are the page numbers of the frames that were not moved before.
    fn checkpointed(&mut self, now: Extent, pages: &[u32]) {
        let before = std::mem::replace(&mut self.extent, now);
        // After a truncation both numbers are zero.
        let all = now.moved == now.frames;
        let moved = if all { before.frames } else { now.moved }.saturating_sub(before.moved);
        if moved == 0 {
            return;
        }
        self.spent.bytes += last_of_their_page(pages, moved) * self.page_bytes;
        self.sync();
        if all {
            self.sync();
        }
    }

    fn sync(&mut self) {
        let folder = !std::mem::replace(&mut self.folder_synced, true);
        self.spent.syncs += 1 + u64::from(folder);
    }
}

/// How many of the first `frames` frames are the last of their page. The others are not moved.
fn last_of_their_page(pages: &[u32], frames: u64) -> u64 {
    let last: HashMap<u32, u64> = pages.iter().copied().zip(1..).collect();
    last.values().filter(|frame| **frame <= frames).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 512 + 24;

    fn extent(frames: u64, moved: u64) -> Extent {
        Extent { frames, moved }
    }

    fn spent(count: &mut Count) -> (u64, u64) {
        let WriteCost { syncs, bytes } = std::mem::take(&mut count.spent);
        (syncs, bytes)
    }

    #[test]
    fn commits_and_checkpoints_are_counted_as_sqlite_makes_them() {
        let mut count = Count::new(512, extent(0, 0));
        count.committed(extent(3, 0)); // folder, header, frames
        assert_eq!(spent(&mut count), (3, 32 + 3 * FRAME));
        count.committed(extent(5, 0));
        assert_eq!(spent(&mut count), (1, 2 * FRAME));
        count.committed(extent(5, 0));
        assert_eq!(spent(&mut count), (0, 0));
        count.checkpointed(extent(5, 5), &[1, 2, 3, 1, 2]);
        assert_eq!(spent(&mut count), (2, 3 * 512));
        count.checkpointed(extent(5, 5), &[]);
        assert_eq!(spent(&mut count), (0, 0));
        count.committed(extent(9, 0)); // restarted, and longer than before
        assert_eq!(spent(&mut count), (2, 32 + 9 * FRAME));
    }

    /// The bytes that the kernel counts for this thread, if it counts them.
    fn written() -> Option<u64> {
        let io = std::fs::read_to_string("/proc/thread-self/io").ok()?;
        io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
    }

    #[test]
    fn the_kernel_counts_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("log.db")).expect("opens");
        connection.pragma_update(None, "page_size", 512).expect("set");
        connection.pragma_update(None, "journal_mode", "wal").expect("set");
        connection.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
        connection.execute_batch("CREATE TABLE t (x)").expect("made");
        let mut meter =
            WriteMeter::of(&connection, folder.path().join("log.db-wal")).expect("in WAL mode");
        let (before, mut restarted) = (written(), 0);
        for number in 0..60 {
            let frames = meter.count.extent.frames;
            // Some pages are written again and again, so that a checkpoint moves fewer pages than there are
            // frames.
            let row = rusqlite::params![number % 7, vec![1u8; 50_000]];
            connection
                .execute("INSERT OR REPLACE INTO t (rowid, x) VALUES (?1, ?2)", row)
                .expect("inserted");
            meter.committed(&connection);
            restarted += u64::from(meter.count.extent.frames < frames);
        }
        let WriteCost { syncs, bytes } = meter.take();
        // Two syncs for each checkpoint, and the folder.
        assert!(restarted >= 2 && syncs > 60 + 3 * restarted, "{restarted} {syncs}");
        if let (Some(before), Some(after)) = (before, written()) {
            assert_eq!(bytes, after - before);
        }
    }

    #[test]
    fn a_reader_holds_a_checkpoint_and_the_new_beginning_up() {
        let mut count = Count::new(512, extent(4, 0));
        count.folder_synced = true;
        // Page 1 has a later frame that cannot be moved yet.
        count.checkpointed(extent(4, 3), &[1, 2, 3, 1]);
        assert_eq!(spent(&mut count), (1, 2 * 512));
        count.checkpointed(extent(4, 4), &[1]);
        assert_eq!(spent(&mut count), (2, 512));
        count.committed(extent(6, 4));
        assert_eq!(spent(&mut count), (1, 2 * FRAME));
        count.checkpointed(extent(0, 0), &[7, 7]);
        assert_eq!(spent(&mut count), (2, 512));
        count.committed(extent(1, 0));
        assert_eq!(spent(&mut count), (2, 32 + FRAME));
    }
}
