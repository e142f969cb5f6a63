//! Tests of a deframer with good, bad and hostile bytes, one kind at a time.
//! `tests/properties.rs` mixes them at random.

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::seal::Sealer;
use crate::{Channel, Hello, Level, Log, Sample, Value, ValueType};

const LOG: Frame<'static> = Frame::Log(Log { level: Level::Warn, text: "door open" });

fn line(frame: Frame<'_>) -> Vec<u8> {
    frame.encode(&mut [0; MAX_FRAME]).expect("test frames fit").to_vec()
}

/// A frame with a valid envelope around any body.
fn sealed(body: &[u8]) -> Vec<u8> {
    use postcard::ser_flavors::Flavor;
    let mut buf = [0; MAX_FRAME];
    let mut sealer = Sealer::try_new(&mut buf).expect("has room");
    sealer.try_extend(body).expect("has room");
    sealer.finalize().expect("has room").to_vec()
}

/// Checks that all of these bytes are one fault, and returns it.
fn fault_of(bytes: &[u8]) -> Fault {
    let mut deframer = Deframer::new();
    let mut input = bytes;
    let received = deframer.next(&mut input).expect("ends with a delimiter");
    assert_eq!((received.bytes, input), (bytes.len() as u64, &[][..]));
    received.frame.expect_err("is a fault")
}

#[test]
fn every_kind_of_frame_and_value_arrives_as_it_was_sent() {
    let kinds = [ValueType::Bool, ValueType::Int, ValueType::F32, ValueType::F64, ValueType::Text];
    let channels = kinds.map(|kind| Channel { id: 300, name: "flow", unit: "m3/h", kind });
    let values = [
        (0, Value::Bool(true)),
        (1, Value::Int(i64::MIN)),
        (2, Value::F32(-0.5)),
        (3, Value::F64(52.520_008)),
        (u16::MAX, Value::Text("tag 04:A2:€")),
    ];
    assert_eq!(values.map(|(_, value)| value.value_type()), kinds);
    let sample = Sample { seq: u32::MAX, uptime_ms: 0, values: (&values).into() };
    let hello = Hello { firmware: "pump", version: "2.0", channels: (&channels).into() };
    for sent in [Frame::Hello(hello), Frame::Sample(sample), LOG] {
        let mut deframer = Deframer::new();
        let bytes = line(sent);
        let received = deframer.next(&mut bytes.as_slice()).expect("is complete");
        assert_eq!(received, Received { bytes: bytes.len() as u64, frame: Ok(sent) });
    }
}

#[test]
fn a_received_list_knows_its_length_and_can_be_sent_on() {
    let values = [(1, Value::Int(1)), (2, Value::Text("two"))];
    let bytes = line(Sample { seq: 1, uptime_ms: 2, values: (&values).into() }.into());
    let mut deframer = Deframer::new();
    let received = deframer.next(&mut bytes.as_slice()).expect("is complete");
    let Ok(Frame::Sample(sample)) = received.frame else { panic!("is a sample") };
    assert_eq!((sample.values.len(), sample.values.is_empty()), (2, false));
    assert!(sample.values.iter().eq(values));
    assert_eq!(line(sample.into()), bytes);
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let mut deframer = Deframer::new();
    let bytes = line(LOG);
    let (last, first) = bytes.split_last().expect("is not empty");
    for byte in first {
        assert_eq!(deframer.next(&mut &[*byte][..]), None);
    }
    assert_eq!(deframer.pending_bytes(), first.len() as u64);
    let received = deframer.next(&mut &[*last][..]).expect("is complete");
    assert_eq!(received, Received { bytes: bytes.len() as u64, frame: Ok(LOG) });
}

#[test]
fn lone_delimiters_are_skipped_and_counted_as_padding() {
    let mut deframer = Deframer::new();
    let bytes = [&[0, 0], line(LOG).as_slice(), &[0]].concat();
    let mut input = bytes.as_slice();
    assert_eq!(deframer.next(&mut input).map(|received| received.frame), Some(Ok(LOG)));
    assert_eq!(deframer.next(&mut input), None);
    assert_eq!((deframer.padding_bytes(), deframer.pending_bytes()), (3, 0));
}

#[test]
fn a_reset_forgets_an_unfinished_frame_and_tells_its_length() {
    let mut deframer = Deframer::new();
    assert_eq!(deframer.next(&mut &[9, 9, 9][..]), None);
    assert_eq!((deframer.reset(), deframer.reset()), (3, 0));
    let bytes = line(LOG);
    let received = deframer.next(&mut bytes.as_slice()).expect("is complete");
    assert_eq!(received.frame, Ok(LOG));
}

#[test]
fn an_over_long_frame_is_one_fault_and_the_next_frame_arrives() {
    for (overlong, chunk) in [(MAX_FRAME, 1), (MAX_FRAME, MAX_FRAME), (5 * MAX_FRAME, 700)] {
        let mut deframer = Deframer::new();
        for chunk in std::vec![1; overlong].chunks(chunk) {
            assert_eq!(deframer.next(&mut &*chunk), None);
        }
        let bytes = [&[0], line(LOG).as_slice()].concat();
        let mut input = bytes.as_slice();
        let fault = Received { bytes: overlong as u64 + 1, frame: Err(Fault::TooLong) };
        assert_eq!(deframer.next(&mut input), Some(fault));
        assert_eq!(deframer.next(&mut input).map(|received| received.frame), Some(Ok(LOG)));
    }
}

#[test]
fn bytes_up_to_max_frame_are_judged_by_what_they_say() {
    let mut bytes = [1; MAX_FRAME];
    bytes[MAX_FRAME - 1] = DELIMITER;
    assert!(matches!(fault_of(&bytes), Fault::Crc { .. }));
}

#[test]
fn each_fault_has_its_own_reason() {
    assert_eq!(fault_of(&[9, 1, 0]), Fault::Cobs);
    assert_eq!(fault_of(&[5, 1, 1, 1, 1, 0]), Fault::TooShort);
    let mut damaged = line(LOG);
    damaged[4] ^= 1;
    assert_eq!(fault_of(&damaged).reason(), "crc");
    assert_eq!(fault_of(&sealed(&[])), Fault::Malformed);
}

#[test]
fn another_version_is_told_apart_from_a_damaged_frame() {
    // A version, no body, and a checksum: first a wrong one, then the right
    // one.
    assert_eq!(fault_of(&[6, 2, 0xA1, 0x8E, 0x0C, 0x3D, 0]).reason(), "crc");
    assert_eq!(fault_of(&[6, 2, 0xA1, 0x8E, 0x0C, 0x3C, 0]), Fault::Version(2));
}

#[test]
fn a_body_that_is_not_exactly_one_message_is_malformed() {
    let bodies: [(&[u8], &str); 8] = [
        (&[3], "no such kind"),
        (&[2, 4, 0], "no such level"),
        (&[2, 0, 2, 0xC3, 0x28], "text is not UTF-8"),
        (&[2, 0, 1, b'x', b'y'], "a byte follows the message"),
        (&[2, 0, 200, 1, b'x'], "text is longer than the frame"),
        (&[1, 0, 0, 2, 5, 0, 1], "the second value is missing"),
        (&[1, 0, 0, 1, 5, 0, 2], "a bool is neither 0 nor 1"),
        (&[1, 0, 0, 0x80, 0x80, 0x04], "the count is no u16"),
    ];
    for (body, why) in bodies {
        assert_eq!(fault_of(&sealed(body)), Fault::Malformed, "{why}");
    }
}

#[test]
fn faults_read_as_what_failed_and_why() {
    let crc = Fault::Crc { stated: 0xBEEF, computed: 1 };
    assert_eq!(
        [Fault::Cobs, Fault::TooShort, Fault::TooLong, crc, Fault::Version(2), Fault::Malformed]
            .map(|fault| fault.to_string()),
        [
            "failed to unstuff frame: a COBS code points past its end",
            "failed to open frame: it ends before its checksum",
            "failed to hold frame: it exceeds 1024 bytes",
            "failed to verify frame: it states CRC 0x0000beef, its bytes give 0x00000001",
            "failed to read frame: its version is 2, not 1",
            "failed to read frame: its body is not exactly one message",
        ]
    );
}

#[test]
fn what_is_pending_brings_another_deframer_to_the_same_place() {
    let frame = line(Log { level: Level::Info, text: "hello" }.into());
    let (mut head, mut rest) = frame.split_at(5);
    let mut first = Deframer::new();
    assert!(first.next(&mut head).is_none());
    let mut second = Deframer::new();
    assert!(second.next(&mut first.pending()).is_none());
    assert!(second.next(&mut rest).is_some_and(|received| received.frame.is_ok()));
    assert!(first.next(&mut &[1; MAX_FRAME][..]).is_none());
    assert_eq!(first.pending(), [0u8; 0], "too long to be a frame");
}
