//! What a record looks like to each of its readers.

use super::*;

fn record() -> Record {
    Record {
        level: Level::WARN,
        target: "outstation::test",
        place: Some(("src/test.rs", 7)),
        wall_ms: 1_700_000_000_123,
        message_id: "00ff".to_owned(),
        message: "sink refuses: bad\nthings\x1b[2J".to_owned(),
        fields: vec![
            ("sink", Value::Text("a \"b\"".to_owned())),
            ("path", Value::Shown("/var/log".to_owned())),
            ("first_seq", Value::Count(5)),
            ("since_ms", Value::Number(-1)),
            ("retry_in_s", Value::Float(0.5)),
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

#[test]
fn journald_gets_capitals_and_lengths_where_a_value_has_lines() {
    let mut of_many_lines = 56_u64.to_le_bytes().to_vec();
    of_many_lines
        .extend_from_slice(b"sink refuses: bad\nthings\\u{1b}[2J (and 2 more before it)\n");
    let mut wanted = b"MESSAGE\n".to_vec();
    wanted.extend(of_many_lines);
    wanted.extend_from_slice(
        b"PRIORITY=4\nSYSLOG_IDENTIFIER=outstation\nMESSAGE_ID=00ff\nSINK=a \"b\"\n\
          PATH=/var/log\nFIRST_SEQ=5\nSINCE_MS=-1\nRETRY_IN_S=0.5\nREPEATS=2\n\
          TARGET=outstation::test\nCODE_FILE=src/test.rs\nCODE_LINE=7\n",
    );
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(shown(&Format::Journal.bytes(&record())), shown(&wanted));
}

#[test]
fn names_that_journald_would_drop_are_mended() {
    assert_eq!(journal_name("__http.status-code"), "HTTP_STATUS_CODE");
}
