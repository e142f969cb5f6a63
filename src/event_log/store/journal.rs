//! Reads SQLite's write-ahead log to find out how the last process ended: in order, with a commit torn by a
//! power cut, or with a damaged journal.
//!
//! SQLite itself reads the journal up to the first wrong frame and silently ignores the rest. That is
//! correct for a commit that a power cut left incomplete. It is a silent loss if the rest was committed,
//! because the storage returned something other than what was written.
//!
//! The format of the frames is at <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const HEADER: usize = 32;
pub(crate) const FRAME_HEADER: usize = 24;
/// The least length of a journal that holds a frame with the smallest page.
const FRAMES_MIN: u64 = (HEADER + FRAME_HEADER + 512) as u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalState {
    /// There is no journal, or it is empty.
    Absent,
    /// Every commit whose mark is present is complete. Frames without a mark may follow. They are parts of
    /// a commit that, as far as can be seen, was not written to its end, and therefore not synced or
    /// reported as stored. Storage that claims a sync and then loses the mark leaves the same picture. But
    /// such storage can also lose a commit without a trace, and no rule about the journal helps against
    /// that.
    Sound,
    /// One commit is present in parts, with its mark: the one under way at a power cut. The mark is in the
    /// header of the last frame, so all but one page had been handed to the storage. Even if only that page
    /// is missing, there are two explanations: the power went between the two writes, and the commit was
    /// never reported; or the storage claimed a sync, the commit was reported, and the page was lost. The
    /// journal cannot prove the first, so the numbers of the commit count as given out.
    Torn,
    /// More than one commit is incomplete. Each commit is synced before the next begins, so a power cut
    /// cannot leave two incomplete ones.
    Damaged,
}

pub(crate) fn inspect(path: &Path) -> io::Result<JournalState> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(JournalState::Absent),
        other => other?,
    };
    let length = file.metadata()?.len();
    let mut file = io::BufReader::with_capacity(64 << 10, file);
    let mut header = [0; HEADER];
    read_whole(&mut file, &mut header)?;
    if header == [0; HEADER] && is_zero(&mut file)? {
        return Ok(JournalState::Absent); // room taken in advance, see `reserve`
    }
    let Some(mut chain) = Chain::begin(&header) else {
        // The header is synced before the first frame is written, so while there is no room for a frame, it
        // may have been under way.
        return Ok(if length < FRAMES_MIN { JournalState::Absent } else { JournalState::Damaged });
    };
    let mut frame = vec![0; FRAME_HEADER + chain.page_bytes];
    let (mut unbroken, mut commits_beyond) = (true, 0);
    while read_whole(&mut file, &mut frame)? == frame.len() {
        if frame[8..16] != header[16..24] {
            // The frame is from before the journal was restarted.
            unbroken = false;
            continue;
        }
        unbroken = unbroken && chain.takes(&frame);
        let commits = frame[4..8] != [0; 4];
        if !unbroken && commits {
            commits_beyond += 1;
        }
    }
    Ok(match commits_beyond {
        0 => JournalState::Sound,
        1 => JournalState::Torn,
        _ => JournalState::Damaged,
    })
}

pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

/// Gives an empty journal its whole length in advance. If it grew with each commit, the file system would
/// write its own journal each time.
pub(crate) fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > 0 {
        return Ok(());
    }
    // The sync makes the truncation durable. Otherwise old frames could come back between the zeros after a
    // power cut.
    file.sync_all()?;
    // Zeros are written, and `fallocate` is not used, because the first write to an allocated block costs a
    // commit of the file system. The pieces are small, because a large one is counted, and may be written,
    // as one.
    let zeros = [0; 4096];
    for at in (0..bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    Ok(())
}

/// The page numbers of a range of frames, which count from 0.
pub(crate) fn pages(path: &Path, page_bytes: u64, frames: Range<u64>) -> io::Result<Vec<u32>> {
    let frame_bytes = FRAME_HEADER as u64 + page_bytes;
    let mut file = io::BufReader::with_capacity(64 << 10, File::open(path)?);
    file.seek(SeekFrom::Start(HEADER as u64 + frames.start * frame_bytes))?;
    let mut pages = Vec::new();
    for _ in frames {
        let mut page = [0; 4];
        file.read_exact(&mut page)?;
        pages.push(u32::from_be_bytes(page));
        file.seek_relative(i64::try_from(frame_bytes).unwrap_or(0) - 4)?;
    }
    Ok(pages)
}

fn is_zero(file: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let read = file.fill_buf()?;
        if read.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        match read.len() {
            0 => return Ok(true),
            count => file.consume(count),
        }
    }
}

/// Fills the buffer as far as the file goes, and returns the number of bytes.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The checksum that runs through all frames.
struct Chain {
    big_endian: bool,
    sums: (u32, u32),
    page_bytes: usize,
}

impl Chain {
    fn begin(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match word(header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let page_bytes = usize::try_from(word(header, 8)).ok()?;
        let plausible = page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
        let mut chain = Self { big_endian, sums: (0, 0), page_bytes };
        chain.add(&header[..24]);
        (plausible && chain.sums == (word(header, 24), word(header, 28))).then_some(chain)
    }

    /// Adds a frame, and says whether its checksum continues the chain.
    fn takes(&mut self, frame: &[u8]) -> bool {
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEADER..]);
        self.sums == (word(frame, 16), word(frame, 20))
    }

    fn add(&mut self, bytes: &[u8]) {
        let (mut a, mut b) = self.sums;
        for pair in bytes.chunks_exact(8) {
            a = a.wrapping_add(self.native(pair, 0)).wrapping_add(b);
            b = b.wrapping_add(self.native(pair, 4)).wrapping_add(a);
        }
        self.sums = (a, b);
    }

    fn native(&self, bytes: &[u8], at: usize) -> u32 {
        let word = word(bytes, at);
        if self.big_endian { word } else { word.swap_bytes() }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal with this number of commits of one page each.
    fn journal(folder: &Path, commits: u32) -> (std::path::PathBuf, Vec<u8>) {
        let database = rusqlite::Connection::open(folder.join("db")).expect("opens");
        database.pragma_update(None, "page_size", 512).expect("set");
        database.pragma_update(None, "journal_mode", "wal").expect("set");
        database.execute_batch("CREATE TABLE t (x)").expect("made");
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("moved");
        for number in 0..commits {
            database.execute("INSERT INTO t VALUES (?1)", [number]).expect("inserted");
        }
        let bytes = std::fs::read(folder.join("db-wal")).expect("a journal");
        (folder.join("wal"), bytes)
    }

    fn inspected(path: &Path, bytes: &[u8]) -> JournalState {
        std::fs::write(path, bytes).expect("written");
        inspect(path).expect("readable")
    }

    #[test]
    fn what_a_process_left_is_sound_at_every_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, bytes) = journal(folder.path(), 5);
        assert_eq!(inspect(&path).expect("readable"), JournalState::Absent);
        assert_eq!(inspected(&path, &[]), JournalState::Absent);
        assert_eq!(inspected(&path, &[0; 5000]), JournalState::Absent);
        for end in HEADER..=bytes.len() {
            assert_eq!(inspected(&path, &bytes[..end]), JournalState::Sound, "{end}");
        }
    }

    #[test]
    fn one_commit_in_parts_is_torn_and_more_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, bytes) = journal(folder.path(), 5);
        let frame = FRAME_HEADER + 512;
        for number in 0..5 {
            let mut damaged = bytes.clone();
            damaged[HEADER + number * frame + FRAME_HEADER + 500] ^= 1;
            let expected = if number == 4 { JournalState::Torn } else { JournalState::Damaged };
            assert_eq!(inspected(&path, &damaged), expected, "{number}");
        }
        for at in 0..HEADER {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(inspected(&path, &damaged), JournalState::Damaged, "{at}");
        }
    }

    #[test]
    fn frames_say_which_page_they_are_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, bytes) = journal(folder.path(), 5);
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(pages(&path, 512, 0..5).expect("readable"), [2; 5]);
        assert_eq!(pages(&path, 512, 3..4).expect("readable"), [2]);
        assert!(pages(&path, 512, 3..6).is_err());
    }

    #[test]
    fn frames_of_an_earlier_journal_are_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut bytes) = journal(folder.path(), 5);
        let frame = FRAME_HEADER + 512;
        for number in 3..5 {
            bytes[HEADER + number * frame + 8] ^= 1;
        }
        assert_eq!(inspected(&path, &bytes), JournalState::Sound);
    }
}
