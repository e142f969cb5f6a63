//! Logs of earlier formats go on, and aggregates are what their streams say.

use super::*;
use crate::domain::model::event::Event;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::database::Database;

/// Made by the program of format version 1: 120 readings with the values 1 to 120, of which the sink
/// has the first 50.
const VERSION_1: &[u8] = include_bytes!("../../../tests/fixtures/log-version-1.sqlite");

/// Made by the program of format version 2: the same readings, of which the sink `site` has the first
/// 50 and `cloud` none.
const VERSION_2: &[u8] = include_bytes!("../../../tests/fixtures/log-version-2.sqlite");

#[tokio::test(start_paused = true)]
async fn a_log_of_version_2_keeps_its_readings_its_books_and_what_its_sinks_have() {
    let folder = folder();
    let path = folder.path().join("log.db");
    std::fs::write(&path, VERSION_2).expect("written");
    let refused = inspect::LogView::open(&path).expect_err("readers write nothing");
    assert!(matches!(refused, StorageError::Older { found: 2, known: 3, .. }), "{refused}");
    let rig = Rig::start(folder.path(), &["cloud", "site"]);
    let mut status = rig.handle.status();
    let found = status.wait_for(|status| status.accepting).await.expect("open").clone();
    assert_eq!((found.head, found.ledger.stored), (120, 120));
    assert_eq!(found.ledger.imbalances(), Vec::<String>::new());
    let progress = |sink: &str| {
        let Progress { delivered, pending, quarantined, refused, .. } = found.sinks[sink];
        (delivered, pending, quarantined, refused)
    };
    assert_eq!((progress("cloud"), progress("site")), ((0, 120, 0, 0), (50, 70, 0, 0)));
    for (sink, from) in [("cloud", 1), ("site", 51)] {
        let all = rig.drain(sink).await;
        assert_eq!(all, (from..=120).map(|number| (number, number as i64)).collect::<Vec<_>>());
    }
    rig.append(1).await;
    rig.stored(121).await;
    let batch = rig.handle.reader("cloud").next(ALL).await.expect("open").expect("owed");
    let refused = Refused { segment: batch.segments[0].clone(), reason: "no".into() };
    rig.handle.reader("cloud").quarantine(refused).await.expect("open");
    rig.end().await;
    let status = Rig::start(folder.path(), &["cloud", "site"]).end().await;
    assert_eq!(status.sinks["cloud"].quarantined, 1);
    assert!(!folder.path().join("log.db.damaged").exists());
}

/// The file is a copy, which a log of version 2 knows of itself: that knowledge is not lost.
#[tokio::test(start_paused = true)]
async fn a_copied_log_of_version_2_begins_a_new_life() {
    let folder = folder();
    let path = folder.path().join("log.db");
    std::fs::write(&path, VERSION_2).expect("written");
    let epoch: i64 = rusqlite::Connection::open(&path)
        .and_then(|old| old.query_row("SELECT epoch FROM meta", [], |row| row.get(0)))
        .expect("readable");
    let rig = Rig::start(folder.path(), &["cloud", "site"]);
    assert_ne!(rig.end().await.epoch, epoch.unsigned_abs());
}

/// Every page of the file in turn, and what was readable goes on under the current format.
#[tokio::test(start_paused = true)]
async fn a_damaged_log_of_version_2_is_salvaged_into_the_current_format() {
    let pages = VERSION_2.len() / 512;
    let mut all = 0;
    for page in 0..pages {
        let folder = folder();
        let mut damaged = VERSION_2.to_vec();
        damaged[page * 512..][..512].fill(0);
        std::fs::write(folder.path().join("log.db"), damaged).expect("written");
        let rig = Rig::start(folder.path(), &["cloud", "site"]);
        let status = rig.handle.status().borrow().clone();
        assert_eq!(status.ledger.imbalances(), Vec::<String>::new(), "page {page}");
        let found = rig.drain("cloud").await;
        assert!(
            found.iter().all(|(seq, value)| crate::event_log::store::error::signed(*seq) == *value),
            "page {page}"
        );
        all += u64::from(found.len() == 120);
        rig.end().await;
        let view = inspect::LogView::open(&folder.path().join("log.db")).expect("opens");
        assert_eq!(view.format(), 3, "page {page}");
    }
    assert!(all > pages as u64 / 2, "{all} of {pages} pages hold no readings");
}

#[tokio::test(start_paused = true)]
async fn a_log_of_version_1_keeps_its_readings_its_life_and_its_books() {
    let folder = folder();
    let path = folder.path().join("log.db");
    std::fs::write(&path, VERSION_1).expect("written");
    let epoch: i64 = rusqlite::Connection::open(&path)
        .and_then(|old| old.query_row("SELECT epoch FROM meta", [], |row| row.get(0)))
        .expect("readable");
    for reopened in [false, true] {
        let rig = Rig::start(folder.path(), &["a"]);
        let mut status = rig.handle.status();
        let found = status.wait_for(|status| status.accepting).await.expect("open").clone();
        assert_eq!(found.epoch, epoch.unsigned_abs(), "it is the same life");
        assert_eq!((found.ledger.stored, found.ledger.delivered), (120, 50));
        assert_eq!(found.ledger.intake.bytes, 1092);
        assert_eq!(found.ledger.imbalances(), Vec::<String>::new());
        if reopened {
            let all = rig.drain("a").await;
            assert_eq!(all, (51..=120).map(|number| (number, number as i64)).collect::<Vec<_>>());
            rig.append(1).await;
            rig.stored(121).await;
        }
        rig.end().await;
    }
    assert!(!folder.path().join("log.db.damaged").exists());
}

/// Every aggregate from the first event of its stream to the last, without a snapshot, against the
/// same from snapshots, and against those that the running log had.
#[tokio::test(start_paused = true)]
async fn aggregates_from_zero_from_snapshots_and_in_memory_are_the_same() {
    let folder = folder();
    let sinks = ["a", "b"];
    let mut live = Aggregates::default();
    let mut rng = fastrand::Rng::with_seed(5);
    let mut database = Database::open(&folder.path().join("log.db"), 1).expect("the log opens");
    let mut told = Vec::new();
    for at_ms in 0..500 {
        let (stream, event) = happening(&mut rng, &sinks);
        told.push((stream.clone(), event.clone()));
        live.record(stream, event, at_ms);
        if rng.u8(..4) == 0 {
            let (events, snapshots) = live.due(true).expect("encodes");
            let commit =
                crate::event_log::store::commit::Commit { events, snapshots, ..Default::default() };
            database.commit(&commit).expect("stored");
            live.committed(true);
        }
    }
    let (events, snapshots) = live.due(true).expect("encodes");
    let commit =
        crate::event_log::store::commit::Commit { events, snapshots, ..Default::default() };
    database.commit(&commit).expect("stored");
    live.committed(true);
    let mut from_zero = Aggregates::default();
    for (stream, event) in told {
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
            // What was refused counts as settled from the next start on, at the latest.
            let refused = live.quarantine(sink).refused();
            let settled = |of: &Aggregates| of.delivery(sink).readings.union(&refused);
            assert_eq!(settled(other), settled(&live));
            assert_eq!(other.delivery(sink).told, live.delivery(sink).told);
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
            (Stream::registry(), Event::SensorDescribed { id, sensor })
        }
        1 => (Stream::clock(), Event::BootStarted { boot: rng.u32(..9), id: format!("{first}") }),
        2 => {
            let anchor = crate::domain::model::boots::Anchor::new(NOW + rng.i64(..9999), 0);
            (Stream::clock(), Event::ClockAnchored { boot: rng.u32(..9), anchor })
        }
        3 => {
            let intake = Intake { bytes: first, accepted: last, ..Intake::default() };
            (Stream::ledger(), Event::TookIn { port: format!("p{}", rng.u8(..3)), intake })
        }
        4 => (Stream::ledger(), Event::Lost { loss: Loss::Damaged, first, last }),
        5 => (Stream::delivery(sink), Event::Acknowledged { first, last }),
        6 => (Stream::delivery(sink), Event::Told { through: first }),
        7 => {
            let version = format!("{}", rng.u8(..3));
            (Stream::config(), Event::ConfigApplied { generation: 1, digest: 7, version })
        }
        8 => (Stream::quarantine(sink), Event::Refused { first, last, reason: "no".into() }),
        9 => (Stream::quarantine(sink), Event::Replayed { first, last }),
        10 => (Stream::quarantine(sink), Event::Discarded { first, last }),
        11 => (Stream::quarantine(sink), Event::Acknowledged { first, last }),
        12 => (Stream::quarantine(sink), Event::Forgotten { first, last, count: 1 }),
        _ => (Stream::port("p"), Event::PortOpened),
    }
}
