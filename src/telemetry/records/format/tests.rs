//! What a record looks like to each of its readers.

use super::*;

fn record() -> Record {
    Record {
        level: Level::WARN,
        target: "outstation::test",
        location: Some(("src/test.rs", 7)),
        wall_ms: 1_700_000_000_123,
        message_id: "00ff".to_owned(),
        message: "sink refuses: bad\nthings\x1b[2J".to_owned(),
        fields: vec![
            ("sink", FieldValue::Text("a \"b\"".to_owned())),
            ("path", FieldValue::Shown("/var/log".to_owned())),
            ("first_seq", FieldValue::Count(5)),
            ("since_ms", FieldValue::Number(-1)),
            ("retry_in_s", FieldValue::Float(0.5)),
        ],
        repeats: 2,
    }
}

#[test]
fn a_person_reads_one_line_whatever_a_server_said() {
    let line = String::from_utf8(Format::Text { colours: false }.bytes(&record())).expect("text");
    assert_eq!(
        line,
        "2023-11-14T22:13:20.123Z  WARN sink refuses: bad\\nthings\\u{1b}[2J (and 2 more before it) \
         sink=\"a \\\"b\\\"\" path=/var/log first_seq=5 since_ms=-1 retry_in_s=0.5 repeats=2\n"
    );
}

#[test]
fn a_machine_reads_values_of_their_types() {
    let bytes = Format::Json.bytes(&record());
    let json: Json = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(json["level"], "WARN");
    assert_eq!(json["message_id"], "00ff");
    assert_eq!((&json["first_seq"], &json["retry_in_s"]), (&5.into(), &0.5.into()));
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
}
