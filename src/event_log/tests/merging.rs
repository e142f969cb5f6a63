//! Small segments are merged while no sink takes them, and no reading changes its number.

use super::*;

/// The segments of the log, as (first number, readings).
fn segments(folder: &Path) -> Vec<(i64, i64)> {
    let database = rusqlite::Connection::open(folder.join("log.db")).expect("opens");
    let mut select =
        database.prepare("SELECT first_seq, count FROM segments ORDER BY 1").expect("a query");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

async fn store_each(rig: &Rig, from: i64, to: i64) {
    for value in from..=to {
        rig.append_to(Lane::Live, [Value::Int(value)].into_iter()).await;
        rig.stored(value.unsigned_abs()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_commits_becomes_one_segment_with_the_same_readings() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    store_each(&rig, 1, 200).await;
    let before = segments(folder.path());
    assert!(before.len() < 90, "{before:?}");
    assert!(before.contains(&(1, 60)), "{before:?}");
    rig.kill().await;
    let rig = Rig::start(folder.path(), &["a"]);
    let all = rig.drain("a").await;
    assert_eq!(all, (1..=200).map(|number| (number, number as i64)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_merged_across_the_end_of_what_a_sink_was_offered_or_has() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a", "b"]);
    store_each(&rig, 1, 30).await;
    let (first, last) = rig.next("a").await.expect("pending");
    assert!((21..30).contains(&first) && last == 30, "under way, not acknowledged");
    rig.acknowledge("b", 1, 20).await;
    store_each(&rig, 31, 150).await;
    let ends: Vec<i64> =
        segments(folder.path()).iter().map(|(first, count)| first + count - 1).collect();
    let before = i64::try_from(first).expect("small") - 1;
    assert!([20, before, 30].iter().all(|end| ends.contains(end)), "{ends:?}");
    assert!(ends.len() < 100, "{ends:?}");
    rig.acknowledge("a", first, 30).await;
    assert_eq!(rig.drain("b").await.len(), 130);
    assert_eq!(rig.drain("a").await.len(), 120 + usize::try_from(before).expect("small"));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_not_merged_into_others() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    store_each(&rig, 1, 20).await;
    rig.end().await;
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    let damage = "UPDATE segments SET body = zeroblob(length(body)) WHERE first_seq = 11";
    assert_eq!(database.execute(damage, []).expect("damaged"), 1);
    drop(database);
    let rig = Rig::start(folder.path(), &["a"]);
    store_each(&rig, 21, 150).await;
    let all = rig.drain("a").await;
    let expected = (1..=150).filter(|number| *number != 11);
    assert_eq!(all, expected.map(|number| (number, number as i64)).collect::<Vec<_>>());
    let last = rig.end().await;
    assert_eq!(last.ledger.lost(Loss::Damaged), 1);
    assert_eq!(last.ledger.imbalances(), Vec::<String>::new());
}
