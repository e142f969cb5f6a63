//! All images of the pages of a log that SQLite may no longer be able to open.
//!
//! A page has one image in the database file and one in every frame of the write-ahead log that carries it.
//! In a sound log only the newest committed image counts. In a damaged one any image may be the only one
//! left, so all are kept apart, each with its source.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::frames::{ImageSource, WalFrame, WriteAheadLog, length, read};
use super::pages::{be16, be32, layout};

/// The most pages that are read; with the page size of the log, 512 bytes, that is 32 GiB.
const PAGES_MAX: u64 = 1 << 26;
const PAGE_SIZES: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
/// The page size that SQLite uses by default.
const PAGE_SIZE_USUAL: usize = 4096;
/// How many pages are examined to find out the page size.
const SAMPLES: u64 = 512;
/// How many pages may be read to assemble one row, beyond four times what it needs.
const READS_EXTRA: usize = 1024;

/// The state of the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalState {
    Absent,
    Sound,
    Damaged,
    /// The write-ahead log belongs to another database, and nothing of it is used.
    Foreign,
}

/// The number of an image: first come the pages of the database file, then the frames.
pub(crate) type Image = u32;

/// Both files, open for reading only.
#[derive(Debug)]
pub(crate) struct Images {
    /// The page size in bytes.
    pub(crate) size: usize,
    pub(crate) state: WalState,
    database: Option<File>,
    /// The pages of the database file. The last one may be cut off.
    pages: u32,
    journal: Option<WriteAheadLog>,
    /// The frames that may be used, as (page, frame), ascending.
    by_page: Vec<(u32, u32)>,
}

impl Images {
    /// Opens the files that exist; a missing file has no pages.
    pub(crate) fn open(database: &Path, wal: &Path) -> io::Result<Self> {
        let (database, wal) = (open(database)?, open(wal)?);
        let stated = wal.as_ref().and_then(WriteAheadLog::stated_page_size);
        let size = page_size(database.as_ref(), wal.as_ref(), stated);
        let bytes = length(database.as_ref()).div_ceil(size as u64).min(PAGES_MAX);
        let mut images = Self {
            size,
            state: WalState::Absent,
            database,
            pages: u32::try_from(bytes).unwrap_or(u32::MAX),
            journal: None,
            by_page: Vec::new(),
        };
        match wal {
            Some(_) if stated.is_some_and(|stated| stated != size) => {
                images.state = WalState::Foreign;
            }
            Some(wal) if length(Some(&wal)) > 0 => images.add(WriteAheadLog::read(wal, size)),
            _ => {}
        }
        Ok(images)
    }

    fn add(&mut self, journal: WriteAheadLog) {
        let usable = (0_u32..).zip(&journal.frames).filter(|(_, frame)| frame.source.is_some());
        self.by_page = usable.map(|(number, frame)| (frame.page, number)).collect();
        self.by_page.sort_unstable();
        self.state = if journal.is_sound { WalState::Sound } else { WalState::Damaged };
        self.journal = Some(journal);
    }

    /// Leaves the journal out, so that only the database file is used.
    pub(crate) fn without_journal(self) -> Self {
        Self { state: WalState::Foreign, journal: None, by_page: Vec::new(), ..self }
    }

    /// One more than the highest image.
    pub(crate) fn end(&self) -> Image {
        let frames = self.journal.as_ref().map_or(0, |journal| journal.frames.len());
        self.pages.saturating_add(u32::try_from(frames).unwrap_or(0))
    }

    /// Returns the source of an image; `None` for a frame that must not be used.
    pub(crate) fn source(&self, image: Image) -> Option<ImageSource> {
        if image < self.pages { Some(ImageSource::Database) } else { self.frame(image)?.source }
    }

    pub(crate) fn is_first(&self, image: Image) -> bool {
        if image < self.pages { image == 0 } else { self.page(image) == Some(1) }
    }

    /// Reads an image into `buffer`, as many bytes as there are of it.
    pub(crate) fn read(&self, image: Image, buffer: &mut Vec<u8>) {
        let at = u64::from(image) * self.size as u64;
        match (&self.database, &self.journal) {
            (Some(file), _) if image < self.pages => read(file, at, self.size, buffer),
            (_, Some(journal)) => journal.read_page(image - self.pages, buffer),
            _ => buffer.clear(),
        }
    }

    /// Assembles a record that begins with `local` and continues on page `first`, from those images of its
    /// pages for which `accept` returns true. Returns these images.
    ///
    /// Each page is tried in its preferred image first, and in another one only if no continuation from
    /// there led to the end. Images with the same content count once, so there is little to try: a wrong
    /// page seldom continues. A chain has no page twice, and the reads are counted, so the search ends.
    pub(crate) fn assemble(
        &self,
        from: Image,
        local: &[u8],
        first: Option<u32>,
        total: usize,
        mut accept: impl FnMut(&[u8]) -> bool,
    ) -> Option<Vec<Image>> {
        let Some(first) = first else { return accept(local).then(Vec::new) };
        let mut payload = local.to_vec();
        let mut chain = vec![Step::to(first, payload.len())];
        let mut visited = BTreeSet::from([first]);
        let mut page = Vec::with_capacity(self.size);
        let mut reads = 4 * (total / (self.size - 4)) + READS_EXTRA;
        while let Some(step) = chain.last_mut() {
            payload.truncate(step.length);
            let Some(image) = self.choice(from, step.page, step.choices) else {
                visited.remove(&step.page);
                chain.pop();
                continue;
            };
            step.choices += 1;
            step.image = image;
            reads = reads.checked_sub(1)?;
            self.read(image, &mut page);
            let needed = (total - payload.len()).min(self.size - 4);
            let Some(bytes) = page.get(4..4 + needed) else { continue };
            if !step.is_new(&page[..4 + needed]) {
                continue;
            }
            payload.extend_from_slice(bytes);
            if payload.len() == total {
                if accept(&payload) {
                    return Some(chain.iter().map(|step| step.image).collect());
                }
                continue;
            }
            let next = be32(&page, 0).unwrap_or(0);
            if next != 0 && visited.insert(next) {
                chain.push(Step::to(next, payload.len()));
            }
        }
        None
    }

    /// Returns the `n`-th image of `page` to try for a row that begins in `from`.
    ///
    /// A row and its overflow pages are written by one transaction and never change. So for a row in a
    /// frame, the pages of that transaction or an earlier one are right, and next those that were moved to
    /// the database file. Frames of later transactions show the page in another use, but one of them may
    /// repeat it. For a row in the database file, its own pages come first.
    fn choice(&self, from: Image, page: u32, n: usize) -> Option<Image> {
        let start = self.by_page.partition_point(|(other, _)| *other < page);
        let end = self.by_page.partition_point(|(other, _)| *other <= page);
        let frames = &self.by_page[start..end];
        let earlier = match self.frame(from) {
            Some(own) => frames.partition_point(|(_, frame)| *frame <= own.horizon),
            None => 0,
        };
        let stored = usize::from((1..=self.pages).contains(&page));
        let frame = if n < earlier {
            frames.get(earlier - 1 - n)
        } else if n < earlier + stored {
            return Some(page - 1);
        } else {
            frames.get(n - stored)
        };
        frame.map(|(_, frame)| self.pages + frame)
    }

    fn frame(&self, image: Image) -> Option<&WalFrame> {
        let number = image.checked_sub(self.pages)?;
        self.journal.as_ref()?.frames.get(usize::try_from(number).ok()?)
    }

    fn page(&self, image: Image) -> Option<u32> {
        self.frame(image).map(|frame| frame.page)
    }
}

/// One page of a chain that is being tried.
struct Step {
    page: u32,
    /// The bytes of the record before this page.
    length: usize,
    choices: usize,
    image: Image,
    /// The checksums of the contents that were tried.
    tried: Vec<u32>,
}

impl Step {
    fn to(page: u32, length: usize) -> Self {
        Self { page, length, choices: 0, image: 0, tried: Vec::new() }
    }

    fn is_new(&mut self, content: &[u8]) -> bool {
        let hash = crc32fast::hash(content);
        let is_new = !self.tried.contains(&hash);
        if is_new {
            self.tried.push(hash);
        }
        is_new
    }
}

/// Returns the page size with which most pages make sense. The sizes in the headers decide only between
/// equals: the page of a tree accounts for each of its bytes, so with a wrong size almost none does.
fn page_size(database: Option<&File>, wal: Option<&File>, stated: Option<usize>) -> usize {
    let mut header = Vec::new();
    if let Some(file) = database {
        read(file, 0, 18, &mut header);
    }
    let named = match be16(&header, 16) {
        Some(1) => 65536,
        Some(size) => usize::from(size),
        None => 0,
    };
    let rank = |size: &usize| {
        let stored = database.map_or(0, |file| score(file, *size, 0, *size));
        let logged = wal.map_or(0, |file| {
            let (at, frame) = (WriteAheadLog::page_at(0, *size), WriteAheadLog::frame_bytes(*size));
            score(file, *size, at, frame)
        });
        let claims = (stated == Some(*size), named == *size, *size == PAGE_SIZE_USUAL);
        // The database file comes before its journal, which may belong to another file.
        (stored, logged, claims)
    };
    PAGE_SIZES.into_iter().max_by_key(rank).unwrap_or(PAGE_SIZE_USUAL)
}

/// Counts the examined pages that account for all their bytes.
fn score(file: &File, size: usize, at: u64, stride: usize) -> usize {
    let pages = length(Some(file)).saturating_sub(at) / stride as u64;
    let step = (pages / SAMPLES).max(1);
    let mut page = Vec::new();
    let makes_sense = |number: &u64| {
        read(file, at + number * stride as u64, size, &mut page);
        let found = layout(&page, size, *number == 0 && at == 0);
        found.is_some_and(|layout| layout.sound && !layout.cells.is_empty())
    };
    (0..SAMPLES.min(pages)).map(|sample| sample * step).filter(makes_sense).count()
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
