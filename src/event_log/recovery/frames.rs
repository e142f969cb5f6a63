//! The write-ahead log, frame by frame: which page each carries, and how far it can be relied on.
//!
//! SQLite reads the frames from the start while their salts are the header's and each checksum
//! follows from the one before, up to the last that ends a transaction. Those are
//! [`ImageSource::Journal`]. What follows is judged here:
//!
//! - Sound frames after that, and nothing of this generation behind them: a transaction that was
//!   never finished. It is ignored, or the log would hold what was never said to be stored.
//! - A frame that does not follow, and belongs to this generation or to none: damage. Whether what
//!   is behind it was committed cannot be told any more, so it is used, as [`ImageSource::Stray`].
//!   A transaction that the power cut short leaves the same picture; the rows it wrote were read
//!   from sensors like all others, only it was not confirmed to anyone that they are stored.
//! - Frames of an earlier generation. SQLite starts over when everything is in the database file, so
//!   they are only good for pages that are damaged there. Used as [`ImageSource::Stray`] where a
//!   finished transaction of their own generation follows; what follows the last one was given up.
//! - If the header is damaged, SQLite would read nothing. All is [`ImageSource::Stray`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::pages::be32;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// 2 GiB of pages of the usual size; SQLite keeps it at a thousand frames.
const FRAMES_MAX: u64 = 1 << 19;
/// Each generation adds one to the first salt.
const GENERATIONS: u32 = 1 << 24;

/// Where an image of a page is from, the most trustworthy first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ImageSource {
    /// A frame of the write-ahead log that SQLite itself would read, now or before a later commit:
    /// it was committed, and the frame's checksum holds.
    Journal,
    /// The database file: it was committed, nothing vouches for the page as a whole.
    Database,
    /// Another frame: from behind a damaged one, or left over from before the write-ahead log began
    /// anew. Most were committed; of some nobody can say it.
    Stray,
}

/// A page as of some transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalFrame {
    pub(crate) page: u32,
    /// The frame that ends its transaction.
    pub(crate) horizon: u32,
    /// Nothing if it must not be used.
    pub(crate) source: Option<ImageSource>,
}

/// A write-ahead log, read-only.
#[derive(Debug)]
pub(crate) struct WriteAheadLog {
    pub(crate) frames: Vec<WalFrame>,
    pub(crate) is_sound: bool,
    file: File,
    size: usize,
}

/// What a frame says of itself.
struct Claim {
    page: u32,
    is_commit: bool,
    salts: [u32; 2],
    /// Its checksum follows from the one in front of it.
    is_intact: bool,
}

impl WriteAheadLog {
    pub(crate) fn frame_bytes(size: usize) -> usize {
        FRAME_HEADER + size
    }

    pub(crate) fn page_at(frame: u32, size: usize) -> u64 {
        let before = u64::from(frame) * Self::frame_bytes(size) as u64;
        before + (HEADER + FRAME_HEADER) as u64
    }

    /// The page size in the header, if the header is sound.
    pub(crate) fn stated_page_size(file: &File) -> Option<usize> {
        let header = Header::read(file);
        let size = usize::try_from(header.page_size).ok()?;
        (header.is_sound && size.is_power_of_two() && (512..=65536).contains(&size)).then_some(size)
    }

    pub(crate) fn read(file: File, size: usize) -> Self {
        let header = Header::read(&file);
        let claims = claims(&file, size, &header);
        let (sources, is_sound) = sources(&header, &claims);
        let mut frames = Vec::with_capacity(claims.len());
        let mut horizon = u32::MAX;
        for (number, (claim, source)) in (0_u32..).zip(claims.iter().zip(sources)) {
            frames.push(WalFrame { page: claim.page, horizon: number, source });
        }
        for (frame, claim) in frames.iter_mut().zip(&claims).rev() {
            horizon = if claim.is_commit { frame.horizon } else { horizon };
            frame.horizon = horizon;
        }
        Self { frames, is_sound, file, size }
    }

    pub(crate) fn read_page(&self, frame: u32, buffer: &mut Vec<u8>) {
        read(&self.file, Self::page_at(frame, self.size), self.size, buffer);
    }
}

/// The start of the file.
struct Header {
    is_sound: bool,
    page_size: u32,
    salts: [u32; 2],
    sums: [u32; 2],
    /// The byte order of the words that are summed up.
    is_big_endian: bool,
}

impl Header {
    fn read(file: &File) -> Self {
        let mut bytes = Vec::new();
        read(file, 0, HEADER, &mut bytes);
        let word = |at| be32(&bytes, at).unwrap_or(0);
        let is_big_endian = word(0) == 0x377F_0683;
        let is_ours = matches!(word(0), 0x377F_0682 | 0x377F_0683) && word(4) == 3_007_000;
        let sums = [word(24), word(28)];
        let summed = bytes.get(..24).map(|bytes| sum([0, 0], bytes, is_big_endian));
        Self {
            is_sound: is_ours && summed == Some(sums),
            page_size: word(8),
            salts: [word(16), word(20)],
            sums,
            is_big_endian,
        }
    }

    /// Whether these are the salts of frames from before this header.
    fn is_earlier(&self, salts: [u32; 2]) -> bool {
        let age = self.salts[0].wrapping_sub(salts[0]);
        (1..GENERATIONS).contains(&age) && salts[1] != self.salts[1]
    }
}

fn claims(file: &File, size: usize, header: &Header) -> Vec<Claim> {
    let stride = WriteAheadLog::frame_bytes(size);
    let count = length(Some(file)).saturating_sub(HEADER as u64).div_ceil(stride as u64);
    let mut bytes = Vec::new();
    let mut before = header.sums;
    let claim = |number: u64| {
        read(file, HEADER as u64 + number * stride as u64, stride, &mut bytes);
        let word = |at| be32(&bytes, at).unwrap_or(0);
        let summed = (bytes.len() == stride).then(|| {
            let start = sum(before, &bytes[..8], header.is_big_endian);
            sum(start, &bytes[FRAME_HEADER..], header.is_big_endian)
        });
        before = [word(16), word(20)];
        Claim {
            page: word(0),
            is_commit: word(4) != 0,
            salts: [word(8), word(12)],
            is_intact: summed == Some(before),
        }
    };
    (0..count.min(FRAMES_MAX)).map(claim).collect()
}

/// Where each frame counts as being from, and whether the file is as SQLite leaves it.
fn sources(header: &Header, claims: &[Claim]) -> (Vec<Option<ImageSource>>, bool) {
    if !header.is_sound {
        return (vec![Some(ImageSource::Stray); claims.len()], false);
    }
    let follows = |claim: &&Claim| claim.is_intact && claim.salts == header.salts;
    let chained = claims.iter().take_while(follows).count();
    let committed =
        claims[..chained].iter().rposition(|claim| claim.is_commit).map_or(0, |last| last + 1);
    let current = claims.iter().rposition(|claim| !header.is_earlier(claim.salts));
    let current = current.map_or(0, |last| last + 1);
    let is_sound = current <= chained;
    let mut sources = vec![Some(ImageSource::Journal); committed];
    sources.resize(current, (!is_sound).then_some(ImageSource::Stray));
    while let Some(claim) = claims.get(sources.len()) {
        let run = &claims[sources.len()..];
        let run = &run[..run.iter().take_while(|other| other.salts == claim.salts).count()];
        let finished = run.iter().rposition(|claim| claim.is_commit).map_or(0, |last| last + 1);
        let end = sources.len() + run.len();
        sources.resize(sources.len() + finished, Some(ImageSource::Stray));
        sources.resize(end, None);
    }
    (sources, is_sound)
}

/// SQLite's running checksum over pairs of words.
fn sum(start: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    let word = |bytes: &[u8]| {
        let word = be32(bytes, 0).unwrap_or(0);
        if is_big_endian { word } else { word.swap_bytes() }
    };
    bytes.chunks_exact(8).fold(start, |[first, second], pair| {
        let first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        let second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        [first, second]
    })
}

pub(crate) fn length(file: Option<&File>) -> u64 {
    file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len())
}

/// Reads up to `count` bytes. What the medium does not give is as good as not written.
pub(crate) fn read(file: &File, at: u64, count: usize, buffer: &mut Vec<u8>) {
    buffer.resize(count, 0);
    let mut done = 0;
    while done < count {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    buffer.truncate(done);
}
