//! Recovers the tail of a killed process: it finds the bytes that the log has not stored.
//! `ingest/recovery.rs` has them decoded.
//!
//! ```text
//!  tail      ├──────── known ────────┤├──────── pending ──────┤
//!  account   ├─ committed bytes ─────▶ start
//! ```
//!
//! The log's account of a port's bytes is a position in its stream, committed together with the readings of
//! those bytes. Bytes before it are decoded only for what the decoder learns from them (channels, samples
//! that wait for their description), and their readings are dropped. Bytes after it are decoded as if they
//! had just been read. So each reading is stored once, at whatever moment the process was killed.

use super::file::{TailFile, TailHead};
use crate::protocols::{Decoder, Outbox};

/// Bytes in place of those that are not on record. A byte 0xff neither ends a frame or line nor can be
/// valid content of one, so the frame or line is counted as a fault with its true length.
const MISSING: [u8; 4096] = [0xff; 4096];

/// The boot of the device and the epoch of the log that a tail belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) epoch: u64,
    pub(crate) boot: String,
}

/// A part of the tail to decode at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) at_ms: i64,
    /// Whether the line was interrupted before this piece.
    pub(crate) interrupted: bool,
    /// Whether the log has not stored this piece.
    pub(crate) pending: bool,
    pub(crate) content: Content<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    /// The number of bytes that were read but are not on record.
    Missing(u64),
}

impl Piece<'_> {
    pub(crate) fn len(&self) -> u64 {
        match self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Missing(count) => count,
        }
    }

    /// Feeds the piece to the decoder.
    pub(crate) fn feed(&self, decoder: &mut Decoder, out: &mut Outbox) {
        if self.interrupted {
            decoder.interrupted(out);
        }
        match self.content {
            Content::Bytes(bytes) => decoder.feed(bytes, self.at_ms, out),
            Content::Missing(mut count) => {
                while count > 0 {
                    let part = usize::try_from(count).unwrap_or(usize::MAX).min(MISSING.len());
                    decoder.feed(&MISSING[..part], self.at_ms, out);
                    count -= part as u64;
                }
            }
        }
    }
}

/// A tail to be recovered.
#[derive(Debug)]
pub(crate) struct TailReplay {
    files: Vec<TailFile>,
    /// The position at which the recovery starts, in the positions of the files.
    from: u64,
    /// The same place in the log's account.
    start: u64,
}

/// The tail that was found, and the number of pending bytes that are lost because they are from another
/// boot.
#[derive(Debug, Default)]
pub(crate) struct FoundTail {
    pub(crate) replay: Option<TailReplay>,
    pub(crate) outdated_bytes: u64,
}

impl TailReplay {
    /// Chooses which files to recover. `start` is the log's account of the port's bytes.
    pub(crate) fn of(files: Vec<TailFile>, life: &Life, start: u64) -> FoundTail {
        let (mut files, outdated): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.head.boot == life.boot);
        let outdated_bytes = outdated.iter().map(|file| pending_bytes(file, life, start)).sum();
        // If there are files of this epoch, a file of another epoch was merged into them.
        let ours = files.iter().any(|file| file.head.epoch == life.epoch);
        files.retain(|file| (file.head.epoch == life.epoch) == ours);
        // A file that was started and got no record may begin at the same position as the next one.
        files.sort_by_key(|file| (file.head.begin, file.end()));
        while ours && files.get(1).is_some_and(|next| next.head.begin <= start) {
            files.remove(0);
        }
        let replay = files.first().map(|first| {
            // A log that was replaced has no account of these bytes, and one that was restored from an
            // older copy has none up to here. Then everything is pending.
            let oldest = first.head.begin.saturating_sub(first.head.partial_bytes);
            let from = if ours { oldest.max(start) } else { oldest };
            (from, start)
        });
        let replay = replay.map(|(from, start)| Self { files, from, start });
        FoundTail { replay, outdated_bytes }
    }

    /// The head of a single file that holds the whole tail, with the positions of the log.
    pub(crate) fn head(&self, life: &Life) -> TailHead {
        let first = self.files[0].head.clone();
        let (Life { epoch, boot }, begin) = (life.clone(), self.moved(first.begin));
        TailHead { epoch, boot, begin, attempts: self.attempts() + 1, ..first }
    }

    /// The records: position, time, whether the line was interrupted before, and bytes.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, i64, bool, &[u8])> {
        let records =
            self.files.iter().flat_map(|file| file.records.iter().map(move |r| (file, r)));
        records.map(|(file, record)| {
            let position = self.moved(record.position);
            (position, record.at_ms, record.interrupted, file.bytes(record))
        })
    }

    /// How often the decoding of this tail was started and did not end. The newest file has the number,
    /// because a new file is started after decoding has ended.
    pub(crate) fn attempts(&self) -> u32 {
        self.files.last().map_or(0, |file| file.head.attempts)
    }

    /// Brings a new decoder to the state at the end of the log's account. Readings of bytes that the log
    /// has stored are dropped.
    pub(crate) fn teach(&self, decoder: &mut Decoder) {
        decoder.learn(&self.files[0].head.knowledge);
        for piece in self.pieces().iter().filter(|piece| !piece.pending) {
            piece.feed(decoder, &mut Outbox::default());
        }
        if decoder.partial().bytes > 0 {
            // The log's account never ends inside a partial frame, so the line was interrupted here.
            decoder.interrupted(&mut Outbox::default());
        }
    }

    /// The position after the last byte, in the log's account.
    pub(crate) fn end(&self) -> u64 {
        let end = self.files.iter().map(TailFile::end).max().unwrap_or(self.from);
        self.moved(end.max(self.from))
    }

    /// The number of bytes that the log has not stored.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.end() - self.start
    }

    /// The whole tail in order, with each byte once, divided where the log's account ends.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let head = &self.files[0].head;
        let mut at = self.moved(head.begin.saturating_sub(head.partial_bytes));
        let mut pieces = Vec::new();
        let at_ms = self.records().next().map_or(0, |(_, at_ms, ..)| at_ms);
        self.push(&mut pieces, &mut at, (at_ms, false, &head.half_read));
        self.missing(&mut pieces, &mut at, self.moved(head.begin), at_ms);
        for (position, at_ms, interrupted, bytes) in self.records() {
            let had = usize::try_from(at.saturating_sub(position)).unwrap_or(usize::MAX);
            if had < bytes.len() {
                self.missing(&mut pieces, &mut at, position, at_ms);
                self.push(&mut pieces, &mut at, (at_ms, interrupted && had == 0, &bytes[had..]));
            }
        }
        pieces
    }

    fn push<'a>(
        &self,
        pieces: &mut Vec<Piece<'a>>,
        at: &mut u64,
        (at_ms, interrupted, bytes): (i64, bool, &'a [u8]),
    ) {
        let known = usize::try_from(self.start.saturating_sub(*at)).unwrap_or(usize::MAX);
        let (before, after) = bytes.split_at(known.min(bytes.len()));
        let parts = [(before, interrupted, false), (after, interrupted && before.is_empty(), true)];
        for (bytes, interrupted, pending) in parts.into_iter().filter(|part| !part.0.is_empty()) {
            pieces.push(Piece { at_ms, interrupted, pending, content: Content::Bytes(bytes) });
        }
        *at += bytes.len() as u64;
    }

    fn missing(&self, pieces: &mut Vec<Piece<'_>>, at: &mut u64, to: u64, at_ms: i64) {
        for (to, pending) in [(to.min(self.start), false), (to, true)] {
            if to > *at {
                let content = Content::Missing(to - *at);
                pieces.push(Piece { at_ms, interrupted: false, pending, content });
                *at = to;
            }
        }
    }

    fn moved(&self, position: u64) -> u64 {
        position.wrapping_sub(self.from).wrapping_add(self.start)
    }
}

fn pending_bytes(file: &TailFile, life: &Life, start: u64) -> u64 {
    let from = if file.head.epoch == life.epoch { start } else { 0 };
    let pending = |record: &crate::ingest::tail::file::TailRecord| {
        record.end().saturating_sub(record.position.max(from))
    };
    file.records.iter().map(pending).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::tail::file::tests::{file, head};

    fn life() -> Life {
        Life { epoch: 1, boot: "boot".into() }
    }

    fn parsed(data: Vec<u8>) -> TailFile {
        TailFile::parse(data).file.expect("a file")
    }

    /// Whether each piece is pending, and its text with a dot for each missing byte.
    fn texts_of(files: Vec<Vec<u8>>, start: u64) -> Vec<(bool, String)> {
        let files = files.into_iter().map(parsed).collect();
        let replay = TailReplay::of(files, &life(), start).replay.expect("a tail");
        let text = |piece: &Piece<'_>| match piece.content {
            Content::Bytes(bytes) => (piece.pending, String::from_utf8_lossy(bytes).into_owned()),
            Content::Missing(count) => {
                (piece.pending, ".".repeat(usize::try_from(count).expect("few")))
            }
        };
        replay.pieces().iter().map(text).collect()
    }

    fn pending(text: &str) -> (bool, String) {
        (true, text.into())
    }

    fn known(text: &str) -> (bool, String) {
        (false, text.into())
    }

    #[test]
    fn a_record_is_cut_where_the_account_ends() {
        let data = file(&head(10), &[(10, "abc"), (13, "def")]);
        assert_eq!(texts_of(vec![data.clone()], 10), [pending("abc"), pending("def")]);
        assert_eq!(texts_of(vec![data.clone()], 12), [known("ab"), pending("c"), pending("def")]);
        assert_eq!(texts_of(vec![data.clone()], 13), [known("abc"), pending("def")]);
        assert_eq!(texts_of(vec![data.clone()], 16), [known("abc"), known("def")]);
        assert_eq!(texts_of(vec![data], 99), [known("abc"), known("def")]);
    }

    #[test]
    fn two_files_are_read_in_order_from_the_last_that_begins_before_the_account_ends() {
        let older = file(&head(10), &[(10, "abc")]);
        let newer = file(&head(13), &[(13, "def")]);
        assert_eq!(
            texts_of(vec![newer.clone(), older.clone()], 11),
            [known("a"), pending("bc"), pending("def")]
        );
        assert_eq!(texts_of(vec![newer, older], 14), [known("d"), pending("ef")]);
    }

    #[test]
    fn what_is_not_on_record_leaves_a_gap_of_its_length() {
        let data = file(&head(10), &[(10, "abc"), (15, "def")]);
        assert_eq!(
            texts_of(vec![data.clone()], 10),
            [pending("abc"), pending(".."), pending("def")]
        );
        assert_eq!(
            texts_of(vec![data], 14),
            [known("abc"), known("."), pending("."), pending("def")]
        );
    }

    #[test]
    fn what_stood_half_read_when_a_file_began_comes_first() {
        let half_read = b"ab".to_vec();
        let data = file(&TailHead { partial_bytes: 2, half_read, ..head(10) }, &[(10, "c\ndef")]);
        assert_eq!(texts_of(vec![data], 12), [known("ab"), known("c\n"), pending("def")]);
    }

    #[test]
    fn what_was_too_long_when_a_file_began_is_worth_its_length() {
        let data = file(&TailHead { partial_bytes: 3, ..head(10) }, &[(10, "c\ndef")]);
        assert_eq!(texts_of(vec![data.clone()], 7), [pending("..."), pending("c\ndef")]);
        assert_eq!(texts_of(vec![data], 12), [known("..."), known("c\n"), pending("def")]);
    }

    #[test]
    fn each_byte_is_taken_once_also_where_files_overlap() {
        let merged = file(&head(10), &[(10, "abc"), (13, "def")]);
        let stale = file(&head(12), &[(12, "cd"), (14, "efg")]);
        assert_eq!(
            texts_of(vec![merged, stale], 10),
            [pending("abc"), pending("def"), pending("g")]
        );
    }

    #[test]
    fn a_log_that_was_replaced_gets_everything_under_its_own_positions() {
        let data = file(&TailHead { epoch: 9, ..head(1000) }, &[(1000, "abc"), (1003, "def")]);
        assert_eq!(texts_of(vec![data.clone()], 7), [pending("abc"), pending("def")]);
        let replay = TailReplay::of(vec![parsed(data)], &life(), 7).replay.expect("a tail");
        assert_eq!((replay.head(&life()).begin, replay.end()), (7, 13));
        assert_eq!(replay.head(&life()).epoch, 1);
    }

    #[test]
    fn a_log_restored_from_an_older_copy_gets_what_the_tail_has() {
        let data = file(&head(1000), &[(1000, "abc")]);
        assert_eq!(texts_of(vec![data], 7), [pending("abc")]);
    }

    #[test]
    fn a_file_of_another_life_beside_one_of_this_was_made_into_it() {
        let foreign = file(&TailHead { epoch: 9, ..head(1000) }, &[(1000, "abc")]);
        let own = file(&head(7), &[(7, "abc")]);
        assert_eq!(texts_of(vec![own, foreign], 7), [pending("abc")]);
    }

    #[test]
    fn what_another_boot_left_is_given_up_and_only_what_was_pending_is_counted() {
        let data =
            file(&TailHead { boot: "other".into(), ..head(10) }, &[(10, "abc"), (13, "def")]);
        for (start, lost) in [(0, 6), (12, 4), (16, 0)] {
            let found = TailReplay::of(vec![parsed(data.clone())], &life(), start);
            assert!(found.replay.is_none());
            assert_eq!(found.outdated_bytes, lost);
        }
    }
}
