//! Any bytes as a segment, and as a batch.
//!
//! Invariants checked: decoding ends, in bounded memory, with a segment or an error; a segment has
//! as many readings as were asked for and decodes again after it was encoded again; a checksum lets
//! through what was sealed and nothing else; a batch that unpacks can be visited.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outstation_codec::{Batch, Lane, Segment, StoredSegment};

fuzz_target!(|bytes: &[u8]| {
    if let Some((count, body)) = bytes.split_first_chunk::<4>() {
        segment(u32::from_le_bytes(*count), body);
    }
    if let Ok(batch) = Batch::from_packed(bytes) {
        let mut readings = 0;
        let visited = batch.for_each(|_| readings += 1);
        assert!(visited.is_err() || readings == batch.readings());
        assert!(!batch.id().to_string().is_empty());
    }
});

fn segment(count: u32, body: &[u8]) {
    let sensors = Segment::sensors(body, count as usize);
    let decoded = Segment::decode(body, count as usize);
    let sealed = StoredSegment::sealed(1, count, Lane::Live, 1, body.to_vec());
    assert_eq!(sealed.decode().is_ok(), count > 0 && decoded.is_ok());
    let moved = StoredSegment { first_seq: 2, ..sealed };
    assert!(moved.decode().is_err(), "the checksum covers the number");
    let Ok(mut decoded) = decoded else { return };
    assert_eq!(decoded.len(), count as usize);
    assert!(sensors.is_ok(), "the head of a sound segment can be read alone");
    let mut last = 0;
    decoded.for_each(1, |reading| last = reading.seq);
    assert_eq!(last, u64::from(count), "numbers run on");
    let again = decoded.encode();
    let again = Segment::decode(&again, count as usize).expect("what was encoded decodes");
    assert_eq!(again.len(), decoded.len());
}
