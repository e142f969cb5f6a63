//! Reads every row that is still readable from a damaged log, without SQLite and page by page.
//!
//! SQLite gives up where a page that leads to others is broken. Here every image of every page is examined
//! alone, and a row counts if its checksum holds, wherever it is. So no row is invented, and no row is
//! missed whose own bytes are intact.
//!
//! ```text
//!  database file ─┐ image by image           ┌▶ meta, snapshots  kept
//!                 ├──────────────▶ rows_of ──┼▶ events           kept as places, read again
//!  its journal ───┘                          ├▶ quarantine       kept as places, read again
//!                                            └▶ segments         kept as pages, read again
//! ```
//!
//! Memory is bounded by the number of pages (12 bytes per page with segments, one bit per page) and of
//! events, and not by what they hold. Deleted rows are found, too, as long as they were not overwritten;
//! the caller decides which rows to use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::path::Path;

use super::frames::ImageSource;
use super::images::{Image, Images};
use super::row_decoding::{DecodedRow, FoundSegment, Rank, RankedRow, RowLocation};
use super::row_scan::{FoundRow, ScanDepth, each_row, row_at};
use crate::domain::model::event::Stream;
use crate::event_log::store::commit::NewSegment;
use crate::event_log::store::rows::{EventRow, MetaRow, QuarantineRow, SnapshotRow};

/// The most segments held before their turn; each takes about a hundred bytes.
const WAITING_MAX: usize = 16 * 1024;

/// The rows that were found in a log.
#[derive(Debug)]
pub(crate) struct Carving {
    images: Images,
    finds: Finds,
}

/// Finds the rows of a log. No process may write to the files meanwhile. A missing file counts as empty,
/// and bytes that the medium does not return count as overwritten.
pub(crate) fn carve(database: &Path, wal: &Path) -> io::Result<Carving> {
    let images = Images::open(database, wal)?;
    let finds = Finds::scan(&images);
    if !finds.are_of_two_logs() {
        return Ok(Carving { images, finds });
    }
    let images = images.without_journal();
    Ok(Carving { finds: Finds::scan(&images), images })
}

impl Carving {
    /// The most credible meta row.
    pub(crate) fn meta(&self) -> Option<&RankedRow<MetaRow>> {
        self.finds.metas.values().min_by_key(|meta| meta.rank)
    }

    /// The snapshot with the highest version for each stream.
    pub(crate) fn snapshots(&self) -> &BTreeMap<Stream, RankedRow<SnapshotRow>> {
        &self.finds.snapshots
    }

    /// Every event that was found, once, by stream and version. If several have the same stream and
    /// version, the most credible comes first.
    pub(crate) fn events(&self) -> impl Iterator<Item = RankedRow<EventRow>> + '_ {
        self.finds.events.values().flat_map(|events| {
            let places =
                events.iter().map(|((version, _), (rank, place))| (*version, *rank, *place));
            let mut places: Vec<(u64, Rank, RowLocation)> = places.collect();
            places.sort_by_key(|(version, rank, _)| (*version, *rank));
            places.into_iter().filter_map(|(_, rank, place)| match self.row(place)? {
                DecodedRow::Event(row) => Some(RankedRow { row, rank }),
                _ => None,
            })
        })
    }

    /// Every copy in quarantine that was found, once, by sink and first number, the most credible first.
    /// Copies that overlap contradict each other.
    pub(crate) fn quarantined(&self) -> impl Iterator<Item = RankedRow<QuarantineRow>> + '_ {
        self.finds.copies.values().flat_map(|copies| {
            let mut places: Vec<(Rank, RowLocation)> = copies.values().copied().collect();
            places.sort_by_key(|(rank, _)| *rank);
            places.into_iter().filter_map(|(rank, place)| match self.row(place)? {
                DecodedRow::Quarantined(row) => Some(RankedRow { row, rank }),
                _ => None,
            })
        })
    }

    /// Every segment that was found, once, by first number and then the longest first. Segments that
    /// contradict each other are included, see [`Rank`].
    pub(crate) fn segments(&self) -> Segments<'_> {
        Segments {
            carving: self,
            next: 0,
            again: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            last: None,
        }
    }

    /// Reads a whole segment that was found.
    pub(crate) fn segment(&self, found: &FoundSegment) -> Option<NewSegment> {
        match self.row(found.place)? {
            DecodedRow::Segment(segment) => Some(segment),
            _ => None,
        }
    }

    fn row(&self, place: RowLocation) -> Option<DecodedRow> {
        let mut page = Vec::new();
        self.images.read(place.image, &mut page);
        row_at(&self.images, &page, place).map(|found_row| found_row.row)
    }
}

/// The events of a stream, by version and checksum.
type Events = BTreeMap<(u64, u32), (Rank, RowLocation)>;

/// The copies of one sink that begin with one number, by checksum.
type Copies = BTreeMap<u32, (Rank, RowLocation)>;

/// The result of examining every image.
#[derive(Debug)]
struct Finds {
    /// The best row of each source; different epochs would show that they are different logs.
    metas: BTreeMap<ImageSource, RankedRow<MetaRow>>,
    snapshots: BTreeMap<Stream, RankedRow<SnapshotRow>>,
    events: BTreeMap<Stream, Events>,
    /// By sink and first number.
    copies: BTreeMap<(String, u64), Copies>,
    /// The images that hold segments, in the order of the first segment in each.
    leaves: Vec<Leaf>,
    /// Images all of whose bytes are accounted for: sound pages, and pages on which a row continues.
    settled: Bits,
}

impl Finds {
    /// Reads first the rows that the pages themselves list, and then tries each byte of damaged pages. This
    /// order is needed because the content of a row could look like a row, and it saves most of the bytes.
    fn scan(images: &Images) -> Self {
        let mut finds = Self {
            metas: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            events: BTreeMap::new(),
            copies: BTreeMap::new(),
            leaves: Vec::new(),
            settled: Bits::new(images.end()),
        };
        for depth in [ScanDepth::Named, ScanDepth::All] {
            for image in 0..images.end() {
                if finds.settled.has(image) {
                    continue;
                }
                let Some(source) = images.source(image) else { continue };
                let mut first_seq = None;
                let is_sound = each_row(images, image, depth, &mut |found_row| {
                    let found = finds.note(source, found_row);
                    first_seq = first_seq.into_iter().chain(found).min();
                });
                finds.leaves.extend(first_seq.map(|first| Leaf::new(first, image)));
                if is_sound {
                    finds.settled.set(image);
                }
            }
        }
        finds.leaves.sort_unstable();
        finds.leaves.dedup();
        finds
    }

    /// Keeps a row. Of a segment, only the first number is returned.
    fn note(&mut self, source: ImageSource, found_row: FoundRow) -> Option<u64> {
        let FoundRow { row, place, overflow, .. } = found_row;
        let rank = Rank::new(source, place.image);
        overflow.into_iter().for_each(|image| self.settled.set(image));
        match row {
            DecodedRow::Meta(row) => {
                let new = RankedRow { row, rank };
                let best = self.metas.entry(source).or_insert_with(|| new.clone());
                if new.rank < best.rank {
                    *best = new;
                }
            }
            DecodedRow::Snapshot(row) => {
                let credit = |snapshot: &RankedRow<SnapshotRow>| {
                    (snapshot.row.version, Reverse(snapshot.rank))
                };
                let stream = row.stream.clone();
                let new = RankedRow { row, rank };
                let best = self.snapshots.entry(stream).or_insert_with(|| new.clone());
                if credit(&new) > credit(best) {
                    *best = new;
                }
            }
            DecodedRow::Event(row) => {
                let key = (row.version, row.checksum());
                let events = self.events.entry(row.stream).or_default();
                let best = events.entry(key).or_insert((rank, place));
                if rank < best.0 {
                    *best = (rank, place);
                }
            }
            DecodedRow::Quarantined(row) => {
                let (checksum, first_seq) = (row.checksum(), row.segment.first_seq);
                let copies = self.copies.entry((row.sink, first_seq)).or_default();
                let best = copies.entry(checksum).or_insert((rank, place));
                if rank < best.0 {
                    *best = (rank, place);
                }
            }
            DecodedRow::Segment(new) => return Some(new.segment.first_seq),
        }
        None
    }

    /// Says whether the journal belongs to another log than the database file, by their epochs.
    fn are_of_two_logs(&self) -> bool {
        let epoch = |source| self.metas.get(&source).map(|meta| meta.row.epoch);
        let stored = epoch(ImageSource::Database);
        let logged = epoch(ImageSource::Journal).or(epoch(ImageSource::Stray));
        stored.is_some() && logged.is_some() && stored != logged
    }
}

/// Iterates over the segments in order and opens each page when its first segment is due. The numbers on a
/// page are close to each other, so few segments are held at a time.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    carving: &'a Carving,
    /// The next leaf, as an index into the sorted leaves.
    next: usize,
    /// Leaves to be opened again, because there was no room to hold all their segments.
    again: BinaryHeap<Reverse<Leaf>>,
    waiting: BTreeMap<Key, FoundSegment>,
    last: Option<Key>,
}

/// The key that identifies a segment: first number, count (the longest first) and checksum.
type Key = (u64, Reverse<u32>, u32);

impl Iterator for Segments<'_> {
    type Item = FoundSegment;

    fn next(&mut self) -> Option<FoundSegment> {
        while let Some(leaf) = self.due() {
            self.open(leaf.image);
        }
        let (key, found) = self.waiting.pop_first()?;
        self.last = Some(key);
        Some(found)
    }
}

impl Segments<'_> {
    /// Returns a leaf that may hold a segment before, or beside, all that are held.
    fn due(&mut self) -> Option<Leaf> {
        let leaves = &self.carving.finds.leaves;
        let first = self.waiting.first_key_value().map(|(key, _)| key.0);
        let is_due = |leaf: &Leaf| first.is_none_or(|first| leaf.first_seq() <= first);
        if self.again.peek().is_some_and(|Reverse(leaf)| is_due(leaf)) {
            return self.again.pop().map(|Reverse(leaf)| leaf);
        }
        let leaf = leaves.get(self.next).copied().filter(is_due)?;
        self.next += 1;
        Some(leaf)
    }

    fn open(&mut self, image: Image) {
        let Carving { images, finds } = self.carving;
        let Some(source) = images.source(image) else { return };
        let depth = if finds.settled.has(image) { ScanDepth::Named } else { ScanDepth::All };
        each_row(images, image, depth, &mut |found_row| {
            let DecodedRow::Segment(new) = &found_row.row else { return };
            let rank = Rank::new(source, image);
            let found = FoundSegment::new(new, rank, found_row.place);
            let key = (found.first_seq, Reverse(found.count), found.crc);
            if self.last.is_some_and(|last| key <= last) {
                return;
            }
            let best = self.waiting.entry(key).or_insert(found);
            if found.rank < best.rank {
                *best = found;
            }
        });
        self.forget_far();
    }

    /// Keeps the memory bounded, however the numbers are spread over the pages.
    fn forget_far(&mut self) {
        while self.waiting.len() > WAITING_MAX {
            let first = self.waiting.first_key_value().map(|(key, _)| key.0);
            let far = self.waiting.last_entry().filter(|far| Some(far.key().0) > first);
            let Some(far) = far.map(|far| far.remove()) else { return };
            self.again.push(Reverse(Leaf::new(far.first_seq, far.place.image)));
        }
    }
}

/// An image that holds segments. It takes twelve bytes, because there can be a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Leaf {
    first_seq: [u32; 2],
    image: Image,
}

impl Leaf {
    fn new(first_seq: u64, image: Image) -> Self {
        let half = |value: u64| u32::try_from(value & 0xFFFF_FFFF).unwrap_or(u32::MAX);
        Self { first_seq: [half(first_seq >> 32), half(first_seq)], image }
    }

    fn first_seq(&self) -> u64 {
        u64::from(self.first_seq[0]) << 32 | u64::from(self.first_seq[1])
    }
}

/// One bit per image.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u32) -> Self {
        Self(vec![0; (count as usize).div_ceil(64)])
    }

    fn has(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn set(&mut self, at: u32) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }
}

#[cfg(test)]
mod tests;
