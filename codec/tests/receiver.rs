//! What a receiver meets: batches that were packed, and bytes that were not.
//!
//! Invariants checked: a packed batch comes back as it was; any bytes give a batch or an error; a
//! batch that unpacks can be visited, whatever it says, and gives each reading it announces once or
//! an error; the README and the example say what the crate does.

use outstation_codec::{
    Anchor, Batch, Channel, EpochReason, EventRecord, Fault, FaultCounts, Lane, Loss, Moment,
    PackedError, PublishedEvent, Segment, Sensor, Stamp, StoredSegment, Value, ValueType,
};
use proptest::prelude::*;

#[expect(dead_code, reason = "its main is for people")]
#[path = "../examples/packed_to_json.rs"]
mod packed_to_json;

const BOOT_AT_MS: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

fn segment(first_seq: u64, sensor: u32, values: &[Value]) -> StoredSegment {
    let mut segment = Segment::default();
    for (at_ms, value) in (0..).map(|place| 1_000 * place).zip(values) {
        segment.push(sensor, Stamp::boot(at_ms), [(0, value.clone())].into_iter());
    }
    let count = u32::try_from(values.len()).expect("few");
    StoredSegment::sealed(first_seq, count, Lane::Live, 0, segment.encode())
}

/// The batch of the README.
fn batch() -> Batch {
    let channel = Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::F64 };
    let event = PublishedEvent::PortLost { reason: "gone".into() };
    Batch {
        device: "pump-7".into(),
        epoch: 9,
        lane: Lane::Live,
        sensors: vec![(
            0,
            Sensor { port: "mcu".into(), name: "t1".into(), channels: vec![channel] },
        )],
        boots: vec![(0, Some(Anchor { boot_at_ms: BOOT_AT_MS, set: true }))],
        segments: vec![segment(41, 0, &[Value::F64(21.5), Value::F64(21.25)])],
        events: vec![EventRecord {
            position: 3,
            stream: "port/mcu".into(),
            boot: 0,
            at_ms: 2_500,
            event,
        }],
    }
}

/// The blocks of the README in this language.
fn readme(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = include_str!("../README.md").split(fence.as_str()).skip(1);
    blocks.map(|block| block.split("```").next().expect("split gives at least one")).collect()
}

#[test]
fn the_readme_shows_a_packed_batch_and_what_the_example_prints_of_it() {
    let [block] = readme("hex").try_into().expect("one block");
    let bytes = block.lines().flat_map(|line: &str| line.split(';').next());
    let bytes: Vec<u8> = bytes
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"))
        .collect();
    let packed = batch().to_packed().expect("packs");
    assert_eq!(bytes, packed, "{packed:02x?}");
    let [printed] = readme("json").try_into().expect("one block");
    assert_eq!(packed_to_json::lines(&packed).expect("prints"), printed);
}

#[test]
fn a_reading_is_dated_by_its_own_clock_or_by_the_anchor_of_its_boot_or_not_at_all() {
    let mut batch = batch();
    assert_eq!(batch.date(Moment { boot: 0, ms: 5 }), (BOOT_AT_MS + 5, true));
    assert_eq!(batch.date(Moment { boot: 1, ms: 5 }), (5, false));
    let mut own = Segment::default();
    own.push(0, Stamp::unix(77), [].into_iter());
    batch.segments = vec![StoredSegment::sealed(1, 1, Lane::Live, 1, own.encode())];
    let mut dates = Vec::new();
    batch.for_each(|dated| dates.push((dated.time_ms, dated.clock_set))).expect("sound");
    assert_eq!(dates, [(77, true)]);
    batch.boots = vec![(0, Some(Anchor { boot_at_ms: i64::MAX, set: false }))];
    assert_eq!(batch.date(Moment { boot: 0, ms: 5 }), (i64::MAX, false));
}

#[test]
fn bytes_behind_a_batch_are_refused() {
    let mut packed = batch().to_packed().expect("packs");
    packed.extend([0, 0]);
    assert_eq!(Batch::from_packed(&packed), Err(PackedError::Trailing(2)));
    let short = &packed[..packed.len() - 3];
    assert!(matches!(Batch::from_packed(short), Err(PackedError::Batch(_))));
}

#[test]
fn a_segment_that_is_not_what_was_written_is_refused_before_a_reading_of_it_is_shown() {
    let mut batch = batch();
    batch.segments.push(segment(50, 0, &[Value::Int(1)]));
    batch.segments[1].crc ^= 1;
    let mut seen = Vec::new();
    batch.for_each(|dated| seen.push(dated.reading.seq)).expect_err("its checksum is wrong");
    assert_eq!(seen, [41, 42]);
}

#[test]
fn the_readme_numbers_faults_and_events_as_they_are_written() {
    let readme = include_str!("../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let faults: Vec<String> =
        Fault::ALL.iter().map(|fault| format!("`{}`", fault.reason())).collect();
    assert!(readme.contains(&faults.join(", ")), "{faults:?}");
    let (reason, moment, version) = (String::new(), Moment::default(), String::new());
    let (boot, first, last) = (0, 1, 2);
    let anchor = Anchor { boot_at_ms: BOOT_AT_MS, set: true };
    let events = [
        PublishedEvent::SensorDescribed { id: 0, sensor: Sensor::default() },
        PublishedEvent::BootStarted { boot, id: String::new() },
        PublishedEvent::ClockAnchored { boot, anchor },
        PublishedEvent::Lost { loss: Loss::Damaged, first, last },
        PublishedEvent::Evicted {
            lane: Lane::Live,
            first,
            last,
            count: 2,
            from: moment,
            to: moment,
        },
        PublishedEvent::PortOpened,
        PublishedEvent::PortLost { reason: reason.clone() },
        PublishedEvent::FramesLost { faults: FaultCounts::default() },
        PublishedEvent::BreakerMoved { to: String::new(), cause: String::new() },
        PublishedEvent::ConfigApplied { generation: 0, digest: 0, version },
        PublishedEvent::EpochBegan { epoch: 1, from: 1, reason: EpochReason::Created },
        PublishedEvent::Refused { first, last, reason },
        PublishedEvent::Replayed { first, last },
        PublishedEvent::Discarded { first, last },
    ];
    for (number, event) in events.iter().enumerate() {
        let bytes = postcard::to_stdvec(event).expect("encodes");
        assert_eq!(usize::from(bytes[0]), number, "{}", event.kind());
        assert!(readme.contains(&format!(" {number} {} ", event.kind())), "{}", event.kind());
    }
}

/// Visits all there is, as a receiver would.
fn visit(batch: &Batch) {
    let mut readings = 0;
    let visited = batch.for_each(|dated| {
        readings += 1;
        assert!(dated.values().count() <= dated.reading.cells.len());
    });
    assert!(visited.is_err() || readings == batch.readings());
    for record in &batch.events {
        batch.date(record.at());
        assert!(record.boots().count() > 0 && !record.event.kind().is_empty());
    }
    assert!(batch.ranges().len() <= batch.segments.len());
    assert!(!batch.id().to_string().is_empty());
    for stored in &batch.segments {
        let _part = stored.cut(stored.first_seq, stored.first_seq);
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f32>().prop_filter("comparable", |float| !float.is_nan()).prop_map(Value::F32),
        any::<f64>().prop_filter("comparable", |float| !float.is_nan()).prop_map(Value::F64),
        "[a-zé]{0,40}".prop_map(|text| Value::Text(text.into())),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    let segments = prop::collection::vec((1..9u64, prop::collection::vec(value(), 1..20)), 0..4);
    (segments, any::<u64>(), any::<bool>()).prop_map(|(parts, epoch, published)| {
        let (mut segments, mut next) = (Vec::new(), 1);
        for (gap, values) in parts {
            segments.push(segment(next + gap, 0, &values));
            next += gap + values.len() as u64;
        }
        let events = if published { batch().events } else { Vec::new() };
        Batch { epoch, segments, events, ..batch() }
    })
}

proptest! {
    #[test]
    fn any_batch_comes_back_as_it_was(batch in batches()) {
        let packed = batch.to_packed().expect("packs");
        let back = Batch::from_packed(&packed).expect("unpacks");
        visit(&back);
        prop_assert_eq!(back, batch);
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = Batch::from_packed(&bytes) {
            visit(&batch);
        }
    }

    #[test]
    fn a_damaged_batch_is_visited_or_refused(
        batch in batches(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut packed = batch.to_packed().expect("packs");
        for (at, byte) in damage {
            packed[at.index(batch.to_packed().expect("packs").len())] = byte;
        }
        if let Ok(batch) = Batch::from_packed(&packed) {
            visit(&batch);
        }
    }

    #[test]
    fn whatever_numbers_it_states_a_batch_is_visited_or_refused(
        first_seq in prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), Just(0), any::<u64>()],
        boot_at_ms in prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()],
        at_ms in prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()],
    ) {
        let values = [Value::Int(1), Value::Bool(true), Value::Int(3)];
        let mut batch = batch();
        batch.segments = vec![segment(first_seq, 0, &values), segment(first_seq, 1, &values)];
        batch.boots = vec![(0, Some(Anchor { boot_at_ms, set: true }))];
        batch.events[0].at_ms = at_ms;
        visit(&batch);
    }
}
