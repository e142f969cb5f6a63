//! What the steps mean for SQLite's journal, from the outside: its header, and the mark of a commit.
//!
//! SQLite writes a frame in two calls, its header of 24 bytes and then its page. The header of the
//! last frame of a commit carries the mark, a length that is not zero, so the mark is written before
//! the last page is. Then comes the sync, and only then is anybody told of the commit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::medium::{Image, Medium, Model};
use crate::trace::{Step, What};

pub(crate) const JOURNAL: &str = "log.db-wal";
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A write to the journal: where, and what.
fn written(what: &What) -> Option<(usize, &[u8])> {
    match what {
        What::Write { name, offset, bytes } if name == JOURNAL => Some((*offset, bytes)),
        _ => None,
    }
}

pub(crate) fn is_cut_off(what: &What) -> bool {
    matches!(what, What::Resize { name, length: 0 } if name == JOURNAL)
}

pub(crate) fn is_sync(what: &What) -> bool {
    matches!(what, What::Sync(name) if name == JOURNAL)
}

/// Whether the journal begins, or begins anew.
pub(crate) fn is_header(what: &What) -> bool {
    written(what).is_some_and(|(offset, bytes)| offset == 0 && bytes.len() == HEADER)
}

/// Whether this is the header of the last frame of a commit.
pub(crate) fn is_mark(what: &What) -> bool {
    written(what).is_some_and(|(_, bytes)| bytes.len() == FRAME_HEADER && bytes[4..8] != [0; 4])
}

/// The step that writes the page of this mark; none if the process died before.
pub(crate) fn page_of(steps: &[Step], mark: usize) -> Option<usize> {
    let (offset, _) = written(&steps[mark].what)?;
    let next = next_written(steps, mark)?;
    let (page, _) = written(&steps[next].what)?;
    (page == offset + FRAME_HEADER).then_some(next)
}

/// The next write to the journal after this step.
fn next_written(steps: &[Step], after: usize) -> Option<usize> {
    (after + 1..steps.len()).find(|at| written(&steps[*at].what).is_some())
}

/// Whether this is the header of a frame that was there already. Where a transaction changes a page that it
/// has put into the journal before, SQLite overwrites it there, and in the end, behind the mark and its page,
/// writes the headers of all frames from there on again, because each checksum follows from the last.
fn is_rewritten(steps: &[Step], at: usize) -> bool {
    let header = |step: &Step| match written(&step.what) {
        Some((offset, bytes)) if bytes.len() == FRAME_HEADER => Some(offset),
        _ => None,
    };
    let Some(offset) = header(&steps[at]) else { return false };
    let of_this_journal = steps[..at].iter().rev();
    let mut of_this_journal =
        of_this_journal.take_while(|step| !is_header(&step.what) && !is_cut_off(&step.what));
    page_of(steps, at).is_none() && of_this_journal.any(|step| header(step) == Some(offset))
}

/// Whether this mark is the last of the headers that are written again: the commit is all there.
pub(crate) fn ends_rewriting(steps: &[Step], mark: usize) -> bool {
    is_mark(&steps[mark].what) && is_rewritten(steps, mark)
}

/// Whether headers have to be written again behind this page, the last of a commit: since the sync before it,
/// a page was written without its header, over one that was there. A process that is killed may not come to it.
pub(crate) fn begins_rewriting(steps: &[Step], page: usize) -> bool {
    let Some((_, last)) = written(&steps[page].what) else { return false };
    let of_this_commit = steps[..page].iter().rev().take_while(|step| !is_sync(&step.what));
    let writes: Vec<_> = of_this_commit.filter_map(|step| written(&step.what)).collect();
    writes.windows(2).any(|pair| {
        let [(offset, bytes), (before, _)] = [pair[0], pair[1]];
        bytes.len() == last.len() && before + FRAME_HEADER != offset
    })
}

/// Whether the mark is in the journal and the page is not: a commit that is there in parts.
pub(crate) fn stands_alone(steps: &[Step], mark: usize, image: &Image) -> bool {
    let Some((offset, header)) = written(&steps[mark].what) else { return false };
    let page = page_of(steps, mark).and_then(|page| written(&steps[page].what));
    let journal = image.get(JOURNAL).map_or(&[][..], |rebuilt| &rebuilt.bytes);
    let holds = |at: usize, bytes: &[u8]| journal.get(at..at + bytes.len()) == Some(bytes);
    holds(offset, header) && !page.is_some_and(|(offset, page)| holds(offset, page))
}

/// What tells a journal from the one before: SQLite draws it whenever it begins one.
pub(crate) fn number(path: &Path) -> io::Result<[u8; 8]> {
    let (mut header, mut number) = ([0; HEADER], [0; 8]);
    File::open(path)?.read_exact(&mut header)?;
    number.copy_from_slice(&header[16..24]);
    Ok(number)
}

#[test]
fn a_commit_is_there_in_parts_between_its_mark_and_its_page() {
    let write = |offset, bytes: &[u8]| {
        let name = JOURNAL.to_owned();
        What::Write { name, offset, bytes: bytes.into() }
    };
    let (mut frame, mut mark) = ([1; FRAME_HEADER], [2; FRAME_HEADER]);
    frame[4..8].fill(0);
    mark[4..8].fill(7);
    let writes = [
        What::Create(JOURNAL.to_owned()),
        write(0, &[9; HEADER]),
        write(32, &frame),
        write(56, &[3; 512]),
        write(568, &mark),
        write(592, &[4; 512]),
    ];
    let steps = writes.map(|what| Step { at: 0, what });
    let found = |is: fn(&What) -> bool| steps.iter().position(|step| is(&step.what));
    assert_eq!((found(is_header), found(is_mark)), (Some(1), Some(4)));
    assert_eq!((page_of(&steps, 4), page_of(&steps[..5], 4)), (Some(5), None));
    let mut medium = Medium::default();
    let alone = steps.iter().map(|step| {
        medium.apply(&step.what);
        stands_alone(&steps, 4, &medium.image(Model::All))
    });
    assert_eq!(alone.collect::<Vec<_>>(), [false, false, false, false, true, false]);
}

#[test]
fn a_commit_whose_checksums_are_written_again_is_whole_with_the_last_of_them() {
    let write = |offset, bytes: &[u8]| {
        let name = JOURNAL.to_owned();
        Step { at: 0, what: What::Write { name, offset, bytes: bytes.into() } }
    };
    let (mut frame, mut mark) = ([1; FRAME_HEADER], [2; FRAME_HEADER]);
    frame[4..8].fill(0);
    mark[4..8].fill(7);
    let steps = [
        write(0, &[9; HEADER]),
        write(32, &frame),
        write(56, &[3; 512]),
        write(56, &[5; 512]), // the page once more
        write(568, &mark),
        write(592, &[4; 512]),
        write(32, &frame),
        write(568, &mark),
        Step { at: 0, what: What::Sync(JOURNAL.to_owned()) },
        write(1104, &mark),
        write(1128, &[4; 512]),
    ];
    let all = |is: fn(&[Step], usize) -> bool| -> Vec<usize> {
        (0..steps.len()).filter(|at| is(&steps, *at)).collect()
    };
    assert_eq!(all(is_rewritten), [6, 7]);
    assert_eq!([5, 10].map(|page| begins_rewriting(&steps, page)), [true, false]);
    assert!(begins_rewriting(&steps[..6], 5), "the process was killed before it came to that");
    assert_eq!(all(ends_rewriting), [7]);
    // Begun anew, the journal has frames at the same places.
    let anew = [&steps[..6], &[write(0, &[8; HEADER]), write(32, &frame)]].concat();
    assert!(!is_rewritten(&anew, 7), "it is a frame whose page never came");
}
