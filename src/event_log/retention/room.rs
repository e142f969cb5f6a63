//! Keeping the log within its bounds: what was delivered leaves it, and when there is no room, what
//! was not.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::domain::model::batch::Lane;
use crate::domain::model::boots::Moment;
use crate::domain::model::event::{Event, Stream};
use crate::domain::policy::retention::{Bounds, Usage};
use crate::event_log::actor::LogActor;
use crate::event_log::store::database::NewSegment;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::files::{self, Files};
use crate::event_log::store::queries::Head;
use crate::event_log::store::schema::JOURNAL_BYTES;
use crate::telemetry::events::{ReadingsEvicted, ReadingsSkipped, Report};

/// The journal, and the largest commits on top.
const JOURNAL_ROOM: u64 = 2 * JOURNAL_BYTES;
/// Given up when the file system is full: room to write down what leaves, and to move the journal.
/// As much as a whole journal can make the file grow.
const BALLAST_BYTES: u64 = JOURNAL_BYTES.next_multiple_of(64 << 10);
/// Of what is free, so much is left: for what the file system needs to write down our own growth.
const SPARE_BYTES: u64 = 512 << 10;
/// Segments looked at in one go.
const HEADS_MAX: usize = 256;
/// A row's share of pages besides its body.
pub(crate) const ROW_BYTES: u64 = 64;

pub(crate) fn bounds(bytes_max: u64) -> Bounds {
    Bounds { bytes_max, reserved: JOURNAL_ROOM + BALLAST_BYTES }
}

/// Room kept for the moment there is none.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    held: bool,
}

impl Ballast {
    pub(crate) fn new(files: &Files) -> Self {
        let mut ballast = Self { path: files.ballast(), held: false };
        ballast.take();
        ballast
    }

    /// Takes the room, when the file system can spare it.
    pub(crate) fn take(&mut self) {
        let held = self.held
            || files::len(&self.path) == BALLAST_BYTES
            || (free_bytes(&self.path) > 4 * BALLAST_BYTES && allocate(&self.path).is_ok());
        self.held = held;
    }

    /// Gives the room to whoever writes next.
    pub(crate) fn drop(&mut self) {
        self.held = false;
        files::remove(&self.path);
    }
}

/// Segments that were chosen to leave and have not left yet, because no commit has succeeded since.
/// The books count them as lost already: they leave with the next commit, and a choice is not made
/// anew with each attempt.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    ranges: Vec<(u64, u64)>,
    bytes: u64,
}

impl Leaving {
    fn has(&self, head: &Head) -> bool {
        self.ranges.contains(&(head.first_seq, head.first_seq))
    }

    fn add(&mut self, head: &Head) {
        self.ranges.push((head.first_seq, head.first_seq));
        self.bytes += head.bytes + ROW_BYTES;
    }
}

fn allocate(path: &Path) -> std::io::Result<()> {
    files::remove(path);
    let file = files::create_private(path)?;
    let done = fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES);
    done.map_err(|error| {
        drop(fs::remove_file(path));
        error.into()
    })
}

/// Whether the file system can spare a reserved journal and still take its content.
pub(crate) fn spares_journal(files: &Files) -> bool {
    free_bytes(files.log()) > 2 * JOURNAL_BYTES + SPARE_BYTES
}

fn free_bytes(path: &Path) -> u64 {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    statvfs(folder.unwrap_or(Path::new("."))).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
}

impl LogActor {
    pub(crate) fn usage(&self) -> Result<Usage, StorageError> {
        let pages = self.database.pages()?;
        // A reader beside us can make the journal larger than what is kept for it.
        let journal = files::len(&self.files.journal()).saturating_sub(JOURNAL_ROOM);
        let (used, file) = (pages.used_bytes() + journal, pages.file_bytes());
        Ok(Usage { used, file, aside: self.files.aside_bytes() })
    }

    /// A bound that was lowered: everything above it leaves now, and the file is copied smaller.
    pub(crate) fn fit(&mut self) -> Result<(), StorageError> {
        if !self.bounds.is_oversized(self.usage()?) {
            return Ok(());
        }
        loop {
            self.bound_copies(self.bounds.room());
            let relief = self.bounds.relief(self.usage()?, 0, u64::MAX);
            self.evict(relief.evict)?;
            if self.leaving.ranges.is_empty() && self.copies.is_settled() {
                return self.database.shrink();
            }
            self.commit_removal(self.leaving.ranges.clone())?;
        }
    }

    /// How large the file may become: it keeps the pages it has, be they in the journal still, because
    /// giving them up frees nothing for others; and it takes what is free.
    fn available(&self, usage: Usage) -> u64 {
        // The file system refuses more than it says, as one with quotas does. What memory can hold is
        // no reason to give up what is stored.
        if self.full && self.memory.len() >= self.config.commit_readings / 2 {
            return usage.file;
        }
        let free = free_bytes(self.files.log()).saturating_sub(SPARE_BYTES);
        usage.file.max(files::len(self.files.log()) + free)
    }

    /// A commit is in the journal; the pages by which it makes the file grow have no room in the file
    /// yet. While little is free they are moved at once, because somebody else may take it, and a
    /// journal that cannot be moved can neither be begun anew nor take what would make room. For when
    /// somebody already did, there is the ballast.
    pub(crate) fn secure_journal(&mut self) -> Result<(), StorageError> {
        let file = files::len(self.files.log());
        let growth = self.database.pages()?.file_bytes().saturating_sub(file);
        if growth > 0 && free_bytes(self.files.log()) < growth + SPARE_BYTES {
            self.move_journal();
        }
        Ok(())
    }

    /// Moves the journal into the file, at the cost of the ballast if need be. It keeps its length: what
    /// is given to a full file system is gone.
    pub(crate) fn move_journal(&mut self) {
        if self.database.checkpoint("PASSIVE").is_err_and(|error| error.is_full()) {
            self.ballast.drop();
            // If this fails too, the commit will, and says why.
            drop(self.database.checkpoint("PASSIVE"));
        }
    }

    /// The segments that have to leave before these can come. Records what that loses.
    /// What was acknowledged leaves only together with the acknowledgement: `settling`.
    pub(crate) fn make_room(
        &mut self,
        coming: &[NewSegment],
        settling: &mut bool,
    ) -> Result<Vec<(u64, u64)>, StorageError> {
        let coming: u64 = coming.iter().map(|new| new.segment.body.len() as u64 + ROW_BYTES).sum();
        let usage = self.usage()?;
        let available = self.available(usage);
        self.bound_copies(self.bounds.room().min(available));
        let relief = self.bounds.relief(usage, coming + self.copies.coming(), available);
        if relief.remove_aside {
            self.files.remove_aside();
        }
        *settling |= relief.evict > 0 || !self.leaving.ranges.is_empty();
        let mut leaving = if *settling { self.delivered_segments()? } else { Vec::new() };
        self.evict(relief.evict)?;
        leaving.extend(&self.leaving.ranges);
        Ok(leaving)
    }

    /// What no sink that is waited for needs any more, as ranges of first numbers, unless it is to be
    /// kept.
    fn delivered_segments(&mut self) -> Result<Vec<(u64, u64)>, StorageError> {
        if self.config.retain_delivered {
            return Ok(Vec::new());
        }
        let Some(last) = self.last_whole_before(self.first_needed())? else {
            return Ok(Vec::new());
        };
        self.leave_behind(1, last.last_seq());
        Ok(vec![(0, last.first_seq)])
    }

    /// The first number that some sink which is waited for is still owed.
    fn first_needed(&self) -> u64 {
        let settled = self.aggregates.settled_by_all(&self.config.waited_for());
        self.aggregates.books.first_owed(&settled, 1)
    }

    /// The last segment that ends before `end` and is not the newest: that one stays whatever happened
    /// to it, because it carries the sequence on.
    fn last_whole_before(&self, end: u64) -> Result<Option<Head>, StorageError> {
        let newest = self.database.newest()?.map_or(0, |head| head.first_seq);
        let Some(last) = self.database.head_before(end.min(newest))? else { return Ok(None) };
        if last.last_seq() < end {
            return Ok(Some(last));
        }
        self.database.head_before(last.first_seq)
    }

    /// These numbers leave the log. The best-effort sinks that are still owed some of them do without.
    fn leave_behind(&mut self, first: u64, last: u64) {
        for sink in self.config.left_behind() {
            let settled = self.aggregates.settled(&sink);
            let owed = self.aggregates.books.owed(&settled, first, last);
            for (first, last) in owed {
                // One that goes on without pause was said when it began.
                if !self.aggregates.quarantine(&sink).skipped.contains(first - 1) {
                    ReadingsSkipped { sink: &sink, first, last }.report();
                }
                self.record(Stream::quarantine(&sink), Event::Skipped { first, last });
            }
        }
    }

    /// Chooses segments of so many bytes to leave: what was delivered first, then the lowest lane's
    /// oldest. Those chosen before count.
    fn evict(&mut self, bytes: u64) -> Result<(), StorageError> {
        if self.leaving.bytes >= bytes {
            return Ok(());
        }
        let newest = self.database.newest()?.map_or(0, |head| head.first_seq);
        let end = self.first_needed();
        for head in self.database.heads(0, HEADS_MAX)? {
            if self.leaving.bytes >= bytes || head.last_seq() >= end || head.first_seq >= newest {
                break;
            }
            if !self.leaving.has(&head) {
                self.leaving.add(&head);
                self.leave_behind(head.first_seq, head.last_seq());
            }
        }
        for lane in Lane::LOWEST_FIRST {
            let mut chosen: Vec<Head> = Vec::new();
            for head in self.database.lane_heads(lane, self.evicted_to[lane as usize], HEADS_MAX)? {
                if self.leaving.bytes >= bytes || head.first_seq >= newest {
                    break;
                }
                if !self.leaving.has(&head) {
                    self.leaving.add(&head);
                    chosen.push(head);
                }
            }
            self.write_down(lane, &chosen);
        }
        Ok(())
    }

    /// Records and reports what evicting these segments loses: one event per run of numbers.
    fn write_down(&mut self, lane: Lane, chosen: &[Head]) {
        for run in chosen.chunk_by(|a, b| a.last_seq() + 1 == b.first_seq) {
            let (oldest, newest) = (run[0], run[run.len() - 1]);
            let (first, last) = (oldest.first_seq, newest.last_seq());
            self.evicted_to[lane as usize] = last + 1;
            let settled = self.aggregates.settled_by_all(&self.config.waited_for());
            let owed = self.aggregates.books.owed(&settled, first, last);
            let count = owed.iter().map(|(first, last)| last - first + 1).sum();
            if count == 0 {
                self.leave_behind(first, last);
                continue;
            }
            let from = Moment { boot: oldest.boot, ms: oldest.first_ms };
            let to = Moment { boot: newest.boot, ms: newest.last_ms };
            let event = Event::Evicted { lane, first, last, count, from, to };
            self.record(Stream::ledger(), event);
            let [from, to] = [from, to].map(|moment| self.aggregates.boots.date(moment));
            ReadingsEvicted { lane: lane.name(), first, last, count, from, to }.report();
        }
    }
}
