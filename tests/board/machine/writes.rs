//! What a board wrote to its disk, write by write (qemu's `blklogwrites`, in the format of Linux'
//! dm-log-writes), and the disk as it was at any of them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

struct Entry {
    sector: u64,
    /// Where its data stands in the record, and how much of it there is.
    data: (u64, u64),
    flags: u64,
    /// Where the record ended when it had been written.
    end: u64,
}

pub(crate) struct Writes {
    record: File,
    sector: u64,
    entries: Vec<Entry>,
}

impl Writes {
    pub(crate) fn read(path: &Path) -> Self {
        let mut record = File::open(path).expect("open the record of writes");
        let length = record.metadata().expect("its size").len();
        let mut head = [0; 28];
        record.read_exact(&mut head).expect("read the head of the record");
        let sector = u64::from(u32::from_le_bytes(head[24..28].try_into().expect("four bytes")));
        let (mut entries, mut at) = (Vec::new(), sector);
        let mut words = [0; 24];
        while at + sector <= length {
            record.read_exact_at(&mut words, at).expect("read an entry");
            let word =
                |n: usize| u64::from_le_bytes(words[n * 8..][..8].try_into().expect("eight bytes"));
            let (to, count, flags) = (word(0), word(1), word(2));
            if (to, count, flags) == (0, 0, 0) {
                break;
            }
            let bytes = if flags & DISCARD == 0 { count * sector } else { 0 };
            let (data, end) = ((at + sector, bytes), at + sector + bytes);
            entries.push(Entry { sector: to, data, flags, end });
            at = end;
        }
        Self { record, sector, entries }
    }

    /// Makes `disk`, as it was before the first write, what a power cut leaves when the record is so
    /// long: what was flushed by then, and nothing of what was not.
    pub(crate) fn cut(&self, at: u64, disk: &Path) {
        let written = self.entries.iter().take_while(|entry| entry.end <= at);
        let written: Vec<&Entry> = written.collect();
        let last = written.iter().rposition(|entry| entry.flags & (FLUSH | FUA) != 0);
        let mut disk = File::options().write(true).open(disk).expect("open a disk");
        for entry in &written[..last.map_or(0, |last| last + 1)] {
            let (from, bytes) = entry.data;
            let mut data = vec![0; usize::try_from(bytes).expect("it fits")];
            self.record.read_exact_at(&mut data, from).expect("read a write");
            disk.seek(SeekFrom::Start(entry.sector * self.sector)).expect("seek");
            disk.write_all(&data).expect("write a write");
        }
    }
}

/// Takes the log's files from a disk, which is mounted for that as the next boot would.
pub(crate) fn take_log(disk: &Path, to: &Path) {
    let at = tempfile::TempDir::new().expect("make a folder");
    let mounted = Command::new("mount").args(["-o", "loop"]).args([disk, at.path()]).status();
    assert!(mounted.expect("run mount").success(), "mount {}", disk.display());
    let log = at.path().join("var/lib/private/outstation");
    let copied = fs::read_dir(&log).and_then(|files| {
        for file in files {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("log.db")
                && file.file_type()?.is_file()
            {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(())
    });
    let unmounted = Command::new("umount").arg(at.path()).status();
    assert!(unmounted.expect("run umount").success(), "umount {}", at.path().display());
    copied.expect("copy the log");
}
