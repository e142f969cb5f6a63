//! How many records are written of events that happen again and again.

use super::*;
use crate::telemetry::records::record::FieldValue;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(message_id: &str, port: &str, count: u64) -> Record {
    Record {
        level: Level::WARN,
        target: "test",
        location: None,
        wall_ms: 0,
        message_id: message_id.to_owned(),
        message: "something happened".to_owned(),
        fields: vec![
            ("port", FieldValue::Text(port.to_owned())),
            ("first_seq", FieldValue::Count(count)),
            ("count", FieldValue::Count(count)),
        ],
        repeats: 0,
    }
}

fn count(record: &Record) -> u64 {
    match record.field("count") {
        Some(FieldValue::Count(count)) => *count,
        other => panic!("{other:?}"),
    }
}

/// Every record that is written, with its time.
fn play(events: impl Iterator<Item = (Duration, Record)>) -> Vec<(Duration, Record)> {
    let (mut repeats, mut written) = (Repeats::default(), Vec::new());
    let release_until = |repeats: &mut Repeats, written: &mut Vec<_>, until: Duration| {
        while let Some(due) = repeats.next_release().filter(|due| *due <= until) {
            written.extend(repeats.release(due).into_iter().map(|(record, _)| (due, record)));
        }
    };
    for (at, record) in events {
        release_until(&mut repeats, &mut written, at);
        written.extend(repeats.admit(record, at).map(|record| (at, record)));
    }
    let end = written.last().map_or(Duration::ZERO, |(at, _)| *at);
    written.extend(repeats.release_all().into_iter().map(|(record, _)| (end, record)));
    written
}

#[test]
fn a_flood_is_bounded_and_every_occurrence_of_it_is_counted() {
    let at = |n: u64| Duration::from_millis(n * 10);
    let written = play((0..60_000).map(|n| (at(n), record("a", "mcu", n + 1))));
    let in_time = written.iter().filter(|(at, _)| *at < seconds(600)).count();
    assert!((15..=16).contains(&in_time), "six at once, then one a minute: {in_time}");
    assert_eq!(written[0].0, at(0), "the first is written at once");
    let occurrences: u64 = written.iter().map(|(_, record)| record.repeats + 1).sum();
    assert_eq!(occurrences, 60_000);
    let counted: u64 = written.iter().map(|(_, record)| count(record)).sum();
    assert_eq!(counted, (1..=60_000).sum::<u64>(), "what they count is exact");
    let held = &written[6].1;
    assert_eq!(
        held.field("first_seq"),
        Some(&FieldValue::Count(7)),
        "a range begins where it began"
    );
}

#[test]
fn one_subject_says_nothing_about_another() {
    let mut repeats = Repeats::default();
    for n in 0..20 {
        repeats.admit(record("a", "noisy", n), seconds(0));
    }
    assert!(repeats.admit(record("a", "quiet", 1), seconds(0)).is_some());
    assert!(repeats.admit(record("b", "noisy", 1), seconds(0)).is_some());
}

#[test]
fn the_last_record_about_a_port_is_how_it_is() {
    let states = [message_ids::PORT_ABSENT, message_ids::PORT_OPENED];
    let written = play((0..101).map(|n| (seconds(0), record(states[n % 2], "mcu", 0))));
    let (_, last) = written.last().expect("something is written");
    assert_eq!((last.message_id.as_str(), last.repeats), (message_ids::PORT_ABSENT, 94));
    assert_eq!(written.len(), 7);
}

#[test]
fn the_last_record_about_the_log_is_how_it_is() {
    let states = [message_ids::LOG_TROUBLE, message_ids::LOG_HEALED];
    let of = |n: u64, id: &str| Record {
        message: format!("about {id}"),
        fields: Vec::new(),
        ..record(id, "", n)
    };
    let written = play((0..15).map(|n| (seconds(n * 2), of(n, states[usize::from(n % 2 == 1)]))));
    let (_, last) = written.last().expect("something is written");
    assert_eq!((last.message_id.as_str(), last.repeats), (message_ids::LOG_TROUBLE, 8));
}

#[test]
fn what_was_held_back_knows_when_it_happened() {
    let mut repeats = Repeats::default();
    for n in 0..20 {
        repeats.admit(record("a", "mcu", n), seconds(n));
    }
    let due = repeats.next_release().expect("something is held back");
    let held: Vec<_> = repeats.release(due).into_iter().map(|(_, at)| at).collect();
    assert_eq!(held, [seconds(19)]);
}

#[test]
fn what_happens_once_a_minute_is_written_each_time() {
    let written = play((0..100).map(|n| (seconds(n * 60), record("a", "mcu", 1))));
    assert!(written.len() == 100 && written.iter().all(|(_, record)| record.repeats == 0));
}

#[test]
fn a_thousand_subjects_take_no_more_memory_than_some() {
    let events = (0..10_000).map(|n| (seconds(0), record("a", &format!("port-{n}"), 1)));
    let written = play(events);
    assert!(written.len() < SUBJECTS_MAX + 10, "{}", written.len());
    let occurrences: u64 = written.iter().map(|(_, record)| record.repeats + 1).sum();
    assert_eq!(occurrences, 10_000);
}

#[test]
fn debug_records_are_all_written() {
    let detail = || Record { level: Level::DEBUG, ..record("a", "mcu", 1) };
    assert_eq!(play((0..100).map(|_| (seconds(0), detail()))).len(), 100);
}

#[test]
fn events_without_a_subject_are_told_apart_by_what_they_say() {
    let about = |text: String| Record { message: text, fields: Vec::new(), ..record("a", "", 0) };
    let written = play((0..50).map(|n| (seconds(0), about(format!("setting {n} is odd")))));
    assert!(written.len() == 50 && written.iter().all(|(_, record)| record.repeats == 0));
}
