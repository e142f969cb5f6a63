//! Finds the rows of the log on one page, in whatever state the page is.

use std::ops::Range;

use super::images::{Image, Images};
use super::pages::{Cell, RecordHeader, Tree, layout};
use super::row_decoding::{DecodedRow, RowLocation, can_be_ours, decode};

/// How closely a page is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanDepth {
    /// Examines the rows that the page lists and, if it is sound, what is left in its unused parts.
    Named,
    /// Examines also every byte of a damaged page at which a row could begin.
    All,
}

/// A row and where it was found.
#[derive(Debug)]
pub(crate) struct FoundRow {
    pub(crate) row: DecodedRow,
    pub(crate) place: RowLocation,
    /// The bytes that the row takes on its page.
    pub(crate) cell: Range<usize>,
    pub(crate) overflow: Vec<Image>,
}

/// Passes every row on a page to `see`, and returns whether the page is sound.
pub(crate) fn each_row(
    images: &Images,
    image: Image,
    depth: ScanDepth,
    see: &mut dyn FnMut(FoundRow),
) -> bool {
    let mut page = Vec::new();
    images.read(image, &mut page);
    if page.iter().all(|byte| *byte == 0) {
        return true;
    }
    let layout = layout(&page, images.size, images.is_first(image)).unwrap_or_default();
    let mut taken = Vec::new();
    for (at, tree) in layout.cells {
        if let Some(found_row) = row_at_byte(images, &page, image, at, tree) {
            taken.push(found_row.cell.clone());
            see(found_row);
        }
    }
    let open = match depth {
        _ if layout.sound => layout.spare,
        ScanDepth::Named => Vec::new(),
        ScanDepth::All => between(taken, page.len()),
    };
    for part in open {
        search(images, &page, image, part, see);
    }
    layout.sound
}

/// Tries every byte of a part of a page as the beginning of a row.
fn search(
    images: &Images,
    page: &[u8],
    image: Image,
    part: Range<usize>,
    see: &mut dyn FnMut(FoundRow),
) {
    let mut at = part.start;
    while at < part.end {
        let row = |tree| row_at_byte(images, page, image, at, tree);
        let found = row(Tree::Table).or_else(|| row(Tree::Index));
        let found = found.filter(|found_row| found_row.cell.end <= part.end);
        at = found.as_ref().map_or(at + 1, |found_row| found_row.cell.end);
        found.into_iter().for_each(&mut *see);
    }
}

/// The parts of a page that none of `taken` covers.
fn between(mut taken: Vec<Range<usize>>, end: usize) -> Vec<Range<usize>> {
    taken.sort_by_key(|part| part.start);
    taken.push(end..end);
    let mut at = 0;
    let mut open = Vec::new();
    for part in taken {
        open.push(at..part.start.max(at));
        at = at.max(part.end);
    }
    open
}

fn row_at_byte(
    images: &Images,
    page: &[u8],
    image: Image,
    at: usize,
    tree: Tree,
) -> Option<FoundRow> {
    row_at(images, page, RowLocation { image, at: u32::try_from(at).ok()?, tree })
}

/// Reads the row at a place, if there is one and it is sound.
pub(crate) fn row_at(images: &Images, page: &[u8], place: RowLocation) -> Option<FoundRow> {
    let at = usize::try_from(place.at).ok()?;
    let cell = Cell::parse(page, images.size, at, place.tree)?;
    let local = &page[cell.local.clone()];
    let record = RecordHeader::parse(local, cell.total)?;
    if !can_be_ours(place.tree, record.classes()) {
        return None;
    }
    let mut row = None;
    let overflow = images.assemble(place.image, local, cell.overflow, cell.total, |payload| {
        let columns = record.values(payload);
        row = columns.and_then(|columns| decode(place.tree, cell.rowid, &columns));
        row.is_some()
    })?;
    Some(FoundRow { row: row?, place, cell: at..cell.end(), overflow })
}
