//! Accepted readings are stored, stored readings are offered, and acknowledged readings are not offered
//! again.

use super::*;

#[tokio::test(start_paused = true)]
async fn readings_are_stored_within_the_interval_and_not_before() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.append(3).await;
    tokio::time::sleep(SECOND * 9 / 10).await;
    assert_eq!(rig.handle.status().borrow().head, 0);
    assert_eq!(rig.next("a").await, None, "an uncommitted reading is shown to nobody");
    let before = tokio::time::Instant::now();
    let status = rig.stored(3).await;
    assert!(before.elapsed() <= SECOND / 5);
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
    assert_eq!(rig.next("a").await, Some((1, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_full_group_is_stored_at_once() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    let before = tokio::time::Instant::now();
    rig.append(100).await;
    rig.stored(100).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stores_what_was_accepted() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.append(5).await;
    let last = rig.end().await;
    assert_eq!((last.head, last.ledger.uncommitted, last.ledger.intake.accepted), (5, 0, 5));
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_not_offered_again_and_what_was_not_is() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.acknowledge("a", 1, 10).await;
    assert_eq!(rig.next("a").await, Some((11, 30)));
    rig.acknowledge("a", 11, 20).await;
    let before = rig.end().await;
    let rig = Rig::start(folder.path(), &["a"]);
    assert_eq!(rig.next("a").await, Some((21, 30)));
    let after = rig.end().await;
    assert_eq!(
        (after.ledger, after.ports, after.sinks),
        (before.ledger, before.ports, before.sinks)
    );
    assert_eq!(
        (after.epoch, after.head, after.sensors),
        (before.epoch, before.head, before.sensors)
    );
}

#[tokio::test(start_paused = true)]
async fn a_kill_loses_nothing_stored_and_repeats_at_most_the_last_acknowledgement() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.append(10).await;
    rig.stored(10).await;
    rig.acknowledge("a", 1, 10).await;
    rig.kill().await;
    let rig = Rig::start(folder.path(), &["a"]);
    assert_eq!(rig.next("a").await, Some((1, 10)), "offered again: the receiver drops repeats");
}

#[tokio::test(start_paused = true)]
async fn aggregates_rebuilt_from_snapshots_equal_those_that_wrote_them() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    // There are more commits than events per snapshot, so that replay starts from a snapshot.
    for head in 1..=200 {
        rig.append(1).await;
        rig.stored(head).await;
        rig.acknowledge("a", head, head).await;
    }
    let before = rig.end().await;
    let after = Rig::start(folder.path(), &["a"]).end().await;
    assert_eq!(
        (after.ledger.clone(), after.ports, after.sinks),
        (before.ledger, before.ports, before.sinks)
    );
    assert_eq!((after.ledger.stored, after.ledger.delivered), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn numbers_go_on_after_everything_was_delivered_and_trimmed() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    for head in [10, 20] {
        rig.append(10).await;
        rig.stored(head).await;
        rig.acknowledge("a", head - 9, head).await;
    }
    rig.end().await;
    let rig = Rig::start(folder.path(), &["a"]);
    rig.append(1).await;
    rig.stored(21).await;
    assert_eq!(rig.next("a").await, Some((21, 21)));
}

#[tokio::test(start_paused = true)]
async fn each_sink_keeps_its_own_progress_and_a_new_one_gets_what_is_left() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.acknowledge("a", 1, 10).await;
    rig.end().await; // trims 1..=10
    let rig = Rig::start(folder.path(), &["a", "b"]);
    rig.acknowledge("a", 11, 30).await;
    assert_eq!((rig.next("a").await, rig.next("b").await), (None, Some((11, 30))));
    let last = rig.end().await;
    assert_eq!((last.ledger.delivered, last.ledger.pending), (10, 20), "delivered means: to all");
    assert_eq!(last.sinks["b"].pending, 20);
}

#[tokio::test(start_paused = true)]
async fn a_batch_keeps_its_limits_and_describes_what_it_refers_to() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    let limits = Limits { readings_max: 25, bytes_max: usize::MAX };
    let batch = rig
        .handle
        .reader("a")
        .next(Ask { lanes: LANES, limits })
        .await
        .expect("open")
        .expect("pending");
    assert_eq!((batch.first_seq(), batch.last_seq()), (1, 20));
    let mut seen = Vec::new();
    batch
        .for_each(|dated| {
            seen.push((
                dated.reading.seq,
                dated.sensor.name.clone(),
                dated.time_ms,
                dated.clock_set,
            ))
        })
        .expect("sound");
    assert_eq!(seen.len(), 20);
    assert_eq!(seen[3], (4, "s".to_owned(), NOW + 3, true));
    let one = Limits { readings_max: 1, bytes_max: 1 };
    let batch = rig
        .handle
        .reader("a")
        .next(Ask { lanes: LANES, limits: one })
        .await
        .expect("open")
        .expect("pending");
    assert_eq!(batch.segments.len(), 1, "a segment larger than the limits still goes out");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_counted_as_lost_and_passed_by() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.end().await;
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    let damage = "UPDATE segments SET body = zeroblob(length(body)) WHERE first_seq = 11";
    assert_eq!(database.execute(damage, []).expect("damaged"), 1);
    drop(database);
    let rig = Rig::start(folder.path(), &["a"]);
    assert_eq!(rig.next("a").await, Some((1, 10)));
    rig.acknowledge("a", 1, 10).await;
    assert_eq!(rig.next("a").await, Some((21, 30)));
    rig.acknowledge("a", 21, 30).await;
    let last = rig.end().await;
    assert_eq!(
        (last.ledger.delivered, last.ledger.pending, last.ledger.lost(Loss::Damaged)),
        (20, 0, 10)
    );
    assert_eq!(last.ledger.imbalances(), Vec::<String>::new());
}

/// Changes the file of a log that is not running.
fn meddle(folder: &Path, change: &str) {
    let database = rusqlite::Connection::open(folder.join("log.db")).expect("opens");
    assert_eq!(database.execute(change, []).expect("changed"), 1, "{change}");
}

#[tokio::test(start_paused = true)]
async fn rows_that_lie_vanish_or_do_not_decode_are_written_off_and_block_nothing() {
    for change in [
        "UPDATE segments SET count = -5 WHERE first_seq = 11",
        "UPDATE segments SET count = 0 WHERE first_seq = 11",
        "UPDATE segments SET count = 500 WHERE first_seq = 11",
        "UPDATE segments SET boot = 7 WHERE first_seq = 11",
        "DELETE FROM segments WHERE first_seq = 11",
    ] {
        let folder = folder();
        let rig = Rig::start(folder.path(), &["a"]);
        rig.store_thirty().await;
        rig.end().await;
        meddle(folder.path(), change);
        let rig = Rig::start(folder.path(), &["a"]);
        rig.acknowledge("a", 1, 10).await;
        assert_eq!(rig.next("a").await, Some((21, 30)), "{change}");
        rig.acknowledge("a", 21, 30).await;
        assert_eq!(rig.next("a").await, None, "{change}");
        let last = rig.end().await;
        assert_eq!((last.ledger.pending, last.ledger.lost(Loss::Damaged)), (0, 10), "{change}");
        assert_eq!(last.ledger.imbalances(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_away_gets_what_is_left_and_nothing_twice() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a", "b"]);
    rig.store_thirty().await;
    rig.acknowledge("b", 1, 10).await;
    rig.end().await;
    let rig = Rig::start(folder.path(), &["a"]);
    rig.acknowledge("a", 1, 20).await;
    rig.end().await; // trims 1..=20, of which 11..=20 b never had
    let rig = Rig::start(folder.path(), &["a", "b"]);
    assert_eq!(rig.next("b").await, Some((21, 30)));
    rig.acknowledge("b", 21, 30).await;
    assert_eq!(rig.next("b").await, None);
    rig.acknowledge("a", 21, 30).await;
    let last = rig.end().await;
    assert_eq!((last.ledger.delivered, last.ledger.pending), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn setting_the_clock_dates_what_was_read_before_it_was_set() {
    let folder = folder();
    let clock = Clock::simulated("boot", 5_000); // January 1970
    let liveness = crate::supervisor::heartbeat::Liveness::default();
    let rig = Rig::watched(folder.path(), clock.clone(), &liveness);
    let dates = async || {
        let batch = rig.handle.reader("a").next(ALL).await.expect("open").expect("pending");
        let mut dates = Vec::new();
        batch.for_each(|dated| dates.push((dated.time_ms, dated.clock_set))).expect("sound");
        dates
    };
    rig.append(2).await;
    rig.stored(2).await;
    assert_eq!(dates().await, [(5_000, false), (5_001, false)]);
    clock.step_wall(NOW - 5_000);
    liveness.check();
    // The check of the clock and the request are handled in any order, so the request is repeated.
    while dates().await[0].0 == 5_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(dates().await, [(NOW, true), (NOW + 1, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_second_daemon_on_the_same_log_is_refused() {
    let folder = folder();
    let _first = Rig::start(folder.path(), &["a"]);
    let second = Rig::try_start(config(folder.path(), &["a"])).err().expect("refused");
    assert!(matches!(second, StorageError::InUse { .. }), "{second}");
}

#[tokio::test(start_paused = true)]
async fn a_newer_log_and_a_foreign_database_are_refused_untouched() {
    let newer = folder();
    Rig::start(newer.path(), &["a"]).end().await;
    let path = newer.path().join("log.db");
    let database = rusqlite::Connection::open(&path).expect("opens");
    database.pragma_update(None, "user_version", 99).expect("changed");
    database.execute("UPDATE meta SET format = 99", []).expect("changed");
    drop(database);
    let bytes = std::fs::read(&path).expect("readable");
    let refused = Rig::try_start(config(newer.path(), &["a"])).err().expect("refused");
    let text = refused.to_string();
    assert!(text.contains("version 99") && text.contains("up to 1;"), "{text}");
    assert_eq!(std::fs::read(&path).expect("readable"), bytes);

    let foreign = folder();
    let path = foreign.path().join("log.db");
    let database = rusqlite::Connection::open(&path).expect("opens");
    database.execute_batch("CREATE TABLE somebody_s (data)").expect("made");
    drop(database);
    let bytes = std::fs::read(&path).expect("readable");
    let refused = Rig::try_start(config(foreign.path(), &["a"])).err().expect("refused");
    assert!(matches!(refused, StorageError::Foreign { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).expect("readable"), bytes);
}

#[tokio::test(start_paused = true)]
async fn bytes_count_as_stored_with_the_commit_and_not_before() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &[]);
    let mut append = Append { port: "p".into(), ..Append::default() };
    (append.intake.bytes, append.intake.padding_bytes) = (7, 7);
    rig.handle.appender().permit().await.expect("open").send(append);
    rig.append(1).await;
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(rig.handle.status().borrow().stored_bytes.get("p"), None);
    assert_eq!(rig.stored(1).await.stored_bytes["p"], 7);
    rig.end().await;
    let next = Rig::start(folder.path(), &[]);
    let mut status = next.handle.status();
    let seen = status.wait_for(|status| status.accepting).await.expect("open");
    assert_eq!(seen.stored_bytes["p"], 7);
}
