//! The write-ahead log, frame by frame: the page that each frame carries, and how far it can be relied on.
//!
//! SQLite reads the frames from the start while their salts are those of the header and each checksum
//! follows from the one before, up to the last frame that ends a transaction. These frames are
//! [`ImageSource::Journal`]. The frames after them are judged as follows:
//!
//! - Sound frames with none of this generation behind them belong to a transaction that was never finished.
//!   They are ignored; otherwise the log would hold readings that were never reported as stored.
//! - A frame that does not continue the chain, and belongs to this generation or to none, is damage. It is
//!   not known whether the frames behind it were committed, so they are used, as [`ImageSource::Stray`]. A
//!   transaction that a power cut ended leaves the same picture; its rows were read from sensors like all
//!   others, and only their confirmation is missing.
//! - Frames of an earlier generation were moved to the database file before SQLite restarted the log, so
//!   they are of use only for pages that are damaged there. Those of finished transactions are used, as
//!   [`ImageSource::Stray`]; those after the last commit of their generation were given up.
//! - If the header is damaged, SQLite would read nothing, and all frames are [`ImageSource::Stray`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::pages::be32;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The most frames that are read: 2 GiB of pages of 4 KiB. The daemon's journal is far shorter.
const FRAMES_MAX: u64 = 1 << 19;
/// By how much the first salt may differ for a frame to count as earlier; each generation adds one to it.
const GENERATIONS: u32 = 1 << 24;

/// Where an image of a page comes from, the most trustworthy source first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ImageSource {
    /// A frame of the write-ahead log that SQLite would read, now or before a later commit: it was
    /// committed, and its checksum holds.
    Journal,
    /// The database file: the page was committed, but no checksum covers it as a whole.
    Database,
    /// Another frame, from behind a damaged one or left over from before the write-ahead log was restarted.
    /// Most of these were committed; of some that is unknown.
    Stray,
}

/// A page as of some transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalFrame {
    pub(crate) page: u32,
    /// The number of the frame that ends its transaction.
    pub(crate) horizon: u32,
    /// `None` if the frame must not be used.
    pub(crate) source: Option<ImageSource>,
}

/// A write-ahead log, open for reading only.
#[derive(Debug)]
pub(crate) struct WriteAheadLog {
    pub(crate) frames: Vec<WalFrame>,
    pub(crate) is_sound: bool,
    file: File,
    size: usize,
}

/// What the header of a frame says.
struct Claim {
    page: u32,
    is_commit: bool,
    salts: [u32; 2],
    /// Whether its checksum follows from that of the frame before.
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

/// The header of the file.
struct Header {
    is_sound: bool,
    page_size: u32,
    salts: [u32; 2],
    sums: [u32; 2],
    /// The byte order of the words in the checksums.
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

    /// Says whether these are the salts of frames from before this header.
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

/// Returns the source of each frame, and whether the file is as SQLite leaves it.
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

/// Reads up to `count` bytes. Bytes that the medium does not return count as not written.
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
