//! The format of a tail file, and the check of how much of a file can be trusted after its writer was
//! killed. `mod.rs` writes the files, and `replay.rs` recovers their content.
//!
//! ```text
//! file   = magic (8) , length u32 , crc u32 , head , record …       (little endian)
//! head   = postcard of `TailHead`; the crc is of these bytes
//! record = position u64 , at_ms i64 , length u32 , crc u32 , bytes
//! ```
//!
//! The highest bit of a record's length says that the line was interrupted before it. The crc of a record
//! covers everything before the crc, then the bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The last byte is the version. It changes with the format and with the state that decoders save.
const MAGIC: [u8; 8] = *b"OSTAIL\0\x01";
const PREAMBLE_BYTES: usize = 16;
const RECORD_HEAD_BYTES: usize = 24;
const INTERRUPTED: u32 = 1 << 31;

/// The head of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailHead {
    /// The epoch of the log to whose account the positions belong.
    pub(crate) epoch: u64,
    /// The boot to whose clock the times belong.
    pub(crate) boot: String,
    /// The position of the next byte when the file was started.
    pub(crate) begin: u64,
    /// The number of bytes before `begin` that belong to a partial frame.
    pub(crate) partial_bytes: u64,
    /// The bytes of that partial frame. Empty if they were too many to become a frame or line.
    pub(crate) half_read: Vec<u8>,
    /// How often the decoding of the file was started and did not end.
    pub(crate) attempts: u32,
    /// The state of the decoder at `begin`.
    pub(crate) knowledge: Vec<u8>,
}

impl TailHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let content = postcard::to_stdvec(self).expect("a head has no lengths that are unknown");
        let length = u32::try_from(content.len()).expect("what a decoder knows is bounded");
        let crc = crc32fast::hash(&content);
        [&MAGIC[..], &length.to_le_bytes(), &crc.to_le_bytes(), &content].concat()
    }

    /// Decodes the head. Returns it with its length in the file.
    fn decode(data: &[u8]) -> Result<(Self, usize), Broken> {
        let magic = data.get(..MAGIC.len()).ok_or(Broken::Torn)?;
        if magic != MAGIC {
            return Err(Broken::Damaged);
        }
        let (length, crc) = (u32_at(data, 8)?, u32_at(data, 12)?);
        let end = PREAMBLE_BYTES + length as usize;
        let content = data.get(PREAMBLE_BYTES..end).ok_or(Broken::Torn)?;
        if crc32fast::hash(content) != crc {
            return Err(Broken::Damaged);
        }
        let head = postcard::from_bytes(content).map_err(|_| Broken::Damaged)?;
        Ok((head, end))
    }
}

/// Encodes the head of a record, which stands before its bytes.
pub(crate) fn record_head(
    position: u64,
    at_ms: i64,
    interrupted: bool,
    bytes: &[u8],
) -> [u8; RECORD_HEAD_BYTES] {
    let length = u32::try_from(bytes.len()).expect("a read is small");
    let flag = if interrupted { INTERRUPTED } else { 0 };
    let mut head = [0; RECORD_HEAD_BYTES];
    head[..8].copy_from_slice(&position.to_le_bytes());
    head[8..16].copy_from_slice(&at_ms.to_le_bytes());
    head[16..20].copy_from_slice(&(length | flag).to_le_bytes());
    let crc = record_crc(&head[..20], bytes);
    head[20..].copy_from_slice(&crc.to_le_bytes());
    head
}

fn record_crc(head: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(bytes);
    crc.finalize()
}

/// The record of one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailRecord {
    pub(crate) position: u64,
    pub(crate) at_ms: i64,
    /// Whether the line was interrupted before this read.
    pub(crate) interrupted: bool,
    /// The range of the bytes in the file.
    at: Range<usize>,
}

impl TailRecord {
    pub(crate) fn end(&self) -> u64 {
        self.position + self.at.len() as u64
    }
}

/// Why a file cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The writer was killed while it wrote. The incomplete record had not been decoded either.
    Torn,
    /// The content is not what was written.
    Damaged,
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct TailFile {
    pub(crate) head: TailHead,
    pub(crate) records: Vec<TailRecord>,
    data: Vec<u8>,
}

/// The result of parsing: the file, which is `None` if its head is incomplete or damaged, and the number of
/// bytes at its end that are not what was written.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) file: Option<TailFile>,
    pub(crate) damaged_bytes: u64,
}

impl TailFile {
    /// Parses a file as far as it can be trusted. Any bytes give a result.
    pub(crate) fn parse(data: Vec<u8>) -> Parsed {
        let (head, mut at) = match TailHead::decode(&data) {
            Ok(found) => found,
            Err(Broken::Torn) => return Parsed::default(),
            Err(Broken::Damaged) => {
                return Parsed { file: None, damaged_bytes: data.len() as u64 };
            }
        };
        let (mut records, mut damaged_bytes) = (Vec::new(), 0);
        while at < data.len() {
            match record_at(&data, at) {
                Ok(record) => {
                    at = record.at.end;
                    records.push(record);
                }
                Err(Broken::Torn) => break,
                Err(Broken::Damaged) => {
                    damaged_bytes = (data.len() - at) as u64;
                    break;
                }
            }
        }
        Parsed { file: Some(Self { head, records, data }), damaged_bytes }
    }

    pub(crate) fn bytes(&self, record: &TailRecord) -> &[u8] {
        &self.data[record.at.clone()]
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.records.last().map_or(self.head.begin, TailRecord::end)
    }
}

fn record_at(data: &[u8], at: usize) -> Result<TailRecord, Broken> {
    let head = data.get(at..at + RECORD_HEAD_BYTES).ok_or(Broken::Torn)?;
    let (length, crc) = (u32_at(head, 16)?, u32_at(head, 20)?);
    let start = at + RECORD_HEAD_BYTES;
    let place = start..start + (length & !INTERRUPTED) as usize;
    let bytes = data.get(place.clone()).ok_or(Broken::Torn)?;
    if record_crc(&head[..20], bytes) != crc {
        return Err(Broken::Damaged);
    }
    Ok(TailRecord {
        position: u64::from(u32_at(head, 0)?) | u64::from(u32_at(head, 4)?) << 32,
        at_ms: i64::from(u32_at(head, 8)?) | i64::from(u32_at(head, 12)?) << 32,
        interrupted: length & INTERRUPTED != 0,
        at: place,
    })
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, Broken> {
    let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or(Broken::Torn)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::ingest) fn head(begin: u64) -> TailHead {
        TailHead {
            epoch: 1,
            boot: "boot".into(),
            begin,
            partial_bytes: 0,
            half_read: Vec::new(),
            attempts: 0,
            knowledge: vec![1, 2, 3],
        }
    }

    pub(in crate::ingest) fn file(head: &TailHead, records: &[(u64, &str)]) -> Vec<u8> {
        let mut data = head.encode();
        for (position, text) in records {
            data.extend(record_head(*position, 7, false, text.as_bytes()));
            data.extend(text.as_bytes());
        }
        data
    }

    fn texts(parsed: &Parsed) -> Vec<&[u8]> {
        let file = parsed.file.as_ref().expect("a file");
        file.records.iter().map(|record| file.bytes(record)).collect()
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let mut data = file(&head(5), &[(5, "one"), (8, "two")]);
        data.extend(record_head(u64::MAX - 9, -1, true, b"three"));
        data.extend(b"three");
        let parsed = TailFile::parse(data);
        assert_eq!(texts(&parsed), [&b"one"[..], b"two", b"three"]);
        let file = parsed.file.expect("a file");
        assert_eq!((file.head, parsed.damaged_bytes), (head(5), 0));
        let last = file.records.last().expect("three records");
        assert_eq!((last.position, last.at_ms, last.interrupted), (u64::MAX - 9, -1, true));
    }

    #[test]
    fn a_file_cut_anywhere_holds_every_whole_record_and_is_not_called_damaged() {
        let (head_bytes, whole) =
            (head(0).encode().len(), file(&head(0), &[(0, "one"), (3, "two")]));
        for length in 0..whole.len() {
            let parsed = TailFile::parse(whole[..length].to_vec());
            assert_eq!(parsed.damaged_bytes, 0);
            match length {
                short if short < head_bytes => assert!(parsed.file.is_none()),
                _ => assert_eq!(texts(&parsed).len(), (length - head_bytes) / 27),
            }
        }
    }

    #[test]
    fn a_record_that_is_not_what_was_written_ends_the_file_and_is_told() {
        let whole = file(&head(0), &[(0, "one"), (3, "two"), (6, "three")]);
        let second = head(0).encode().len() + 27;
        for at in (second..second + 16).chain(second + 20..second + 27) {
            let mut data = whole.clone();
            data[at] ^= 1;
            let parsed = TailFile::parse(data);
            assert_eq!(texts(&parsed), [b"one"], "byte {at}");
            assert_eq!(parsed.damaged_bytes, (whole.len() - second) as u64);
        }
    }

    #[test]
    fn a_head_that_is_not_what_was_written_is_told() {
        let whole = file(&head(0), &[(0, "one")]);
        for at in [0, 7, 12, 16, 20] {
            let mut data = whole.clone();
            data[at] ^= 1;
            let parsed = TailFile::parse(data);
            assert!(parsed.file.is_none(), "byte {at}");
            assert_eq!(parsed.damaged_bytes, whole.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            TailFile::parse(noise.clone());
            let mut data = file(&head(0), &[(0, "one")]);
            data.extend(noise);
            prop_assert!(texts(&TailFile::parse(data)).first().is_some_and(|one| *one == b"one"));
        }
    }
}
