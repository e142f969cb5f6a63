//! Aggregates equal the result of replaying their streams.

use outstation_codec::PublishedEvent;

use super::*;
use crate::domain::model::event::Event;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::database::Database;

/// Every aggregate replayed from the first event of its stream to the last, without a snapshot, is compared
/// with the one from snapshots, and with that of the running log.
#[tokio::test(start_paused = true)]
async fn aggregates_from_zero_from_snapshots_and_in_memory_are_the_same() {
    let folder = folder();
    let sinks = ["a", "b"];
    let mut live = Aggregates::default();
    let mut rng = fastrand::Rng::with_seed(5);
    let mut database = Database::open(&folder.path().join("log.db"), 1).expect("the log opens");
    let mut recorded = Vec::new();
    for at_ms in 0..500 {
        let (stream, event) = happening(&mut rng, &sinks);
        recorded.push((stream.clone(), event.clone()));
        live.record(stream, event, at_ms);
        if rng.u8(..4) == 0 {
            let (events, snapshots) = live.to_commit(true).expect("encodes");
            let commit =
                crate::event_log::store::commit::Commit { events, snapshots, ..Default::default() };
            database.commit(&commit).expect("stored");
            live.committed(true);
        }
    }
    let (events, snapshots) = live.to_commit(true).expect("encodes");
    let commit =
        crate::event_log::store::commit::Commit { events, snapshots, ..Default::default() };
    database.commit(&commit).expect("stored");
    live.committed(true);
    let mut from_zero = Aggregates::default();
    for (stream, event) in recorded {
        from_zero.record(stream, event, 0);
    }
    let from_snapshots = crate::event_log::recovery::opening::load(&database).expect("readable");
    for other in [&from_zero, &from_snapshots] {
        assert_eq!(other.registry, live.registry);
        assert_eq!(other.boots, live.boots);
        assert_eq!(other.books, live.books);
        assert_eq!(other.generation, live.generation);
        assert_eq!(other.quarantines, live.quarantines);
        for sink in sinks {
            // At the latest at the next start, refused readings count as acknowledged.
            let refused = live.quarantine(sink).refused();
            let settled = |of: &Aggregates| of.delivery(sink).readings.union(&refused);
            assert_eq!(settled(other), settled(&live));
            assert_eq!(other.delivery(sink).events, live.delivery(sink).events);
        }
    }
    assert!(database.versions().expect("readable").len() >= 6, "every kind of stream took part");
}

fn happening(rng: &mut fastrand::Rng, sinks: &[&str]) -> (Stream, Event) {
    let sink = sinks[rng.usize(..sinks.len())];
    let first = rng.u64(1..1000);
    let last = first + rng.u64(..50);
    match rng.u8(..14) {
        0 => {
            let id = rng.u32(..20);
            let channel =
                Channel { name: format!("{first}"), unit: String::new(), kind: ValueType::Int };
            let (port, name) = ("p".to_owned(), format!("s{id}"));
            let sensor = Sensor { port, name, channels: vec![channel] };
            (Stream::registry(), PublishedEvent::SensorDescribed { id, sensor }.into())
        }
        1 => (
            Stream::clock(),
            PublishedEvent::BootStarted { boot: rng.u32(..9), id: format!("{first}") }.into(),
        ),
        2 => {
            let anchor = outstation_codec::Anchor::new(NOW + rng.i64(..9999), 0);
            (Stream::clock(), PublishedEvent::ClockAnchored { boot: rng.u32(..9), anchor }.into())
        }
        3 => {
            let intake = Intake { bytes: first, accepted: last, ..Intake::default() };
            (Stream::ledger(), Event::TookIn { port: format!("p{}", rng.u8(..3)), intake })
        }
        4 => (Stream::ledger(), PublishedEvent::Lost { loss: Loss::Damaged, first, last }.into()),
        5 => (Stream::delivery(sink), Event::Acknowledged { first, last }),
        6 => (Stream::delivery(sink), Event::EventsAcknowledged { through: first }),
        7 => {
            let version = format!("{}", rng.u8(..3));
            (
                Stream::config(),
                PublishedEvent::ConfigApplied { generation: 1, digest: 7, version }.into(),
            )
        }
        8 => (
            Stream::quarantine(sink),
            PublishedEvent::Refused { first, last, reason: "no".into() }.into(),
        ),
        9 => (Stream::quarantine(sink), PublishedEvent::Replayed { first, last }.into()),
        10 => (Stream::quarantine(sink), PublishedEvent::Discarded { first, last }.into()),
        11 => (Stream::quarantine(sink), Event::Acknowledged { first, last }),
        12 => (Stream::quarantine(sink), Event::Forgotten { first, last, count: 1 }),
        _ => (Stream::port("p"), PublishedEvent::PortOpened.into()),
    }
}
