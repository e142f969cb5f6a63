//! The log keeps its bounds, reports what it gave up for that, and gives up the right readings first.

use outstation_codec::PublishedEvent;

use super::*;

/// The bytes of all files of the log.
fn on_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("readable");
    entries.map(|entry| entry.expect("readable").metadata().expect("there").len()).sum()
}

fn noisy(folder: &Path, sinks: &[&str]) -> LogConfig {
    LogConfig { commit_readings: 16_384, ..config(folder, sinks) }
}

/// Makes commits of 128 KiB each.
async fn fill(rig: &Rig, commits: u64) -> LogStatus {
    let head = rig.handle.status().borrow().head;
    let mut last = LogStatus::default();
    for commit in 1..=commits {
        rig.append_noise(16_384).await;
        last = rig.stored(head + commit * 16_384).await;
    }
    last
}

async fn events(rig: &Rig, sink: &str) -> Vec<PublishedEvent> {
    let batch = rig.handle.reader(sink).next(ALL).await.expect("open").expect("something");
    batch.events.into_iter().map(|record| record.event).collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_log_gives_up_its_oldest_readings_and_counts_each() {
    let folder = folder();
    let rig = Rig::try_start(noisy(folder.path(), &["a"])).expect("the log opens");
    let status = fill(&rig, 48).await; // 6 MiB, where 4.8 have room
    assert!(on_disk(folder.path()) <= 8 << 20, "{} bytes", on_disk(folder.path()));
    let lost = status.ledger.lost(Loss::Evicted);
    assert!(lost > 0 && status.ledger.pending > 16_384, "{:?}", status.ledger);
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
    assert_eq!(rig.next("a").await.expect("pending").0, lost + 1, "the newest are all there");
    let evicted: Vec<PublishedEvent> = events(&rig, "a").await;
    let counts = evicted.iter().filter_map(|event| match event {
        PublishedEvent::Evicted { lane: Lane::Live, first, last, count, from, to } => {
            assert!(*count == last - first + 1 && from <= to, "{event:?}");
            Some(count)
        }
        _ => None,
    });
    assert_eq!(counts.sum::<u64>(), lost);
    let before = rig.end().await;
    let after = Rig::try_start(noisy(folder.path(), &["a"])).expect("reopens").end().await;
    assert_eq!(after.ledger, before.ledger);
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_goes_first_and_is_no_loss() {
    let folder = folder();
    let kept = LogConfig { retain_delivered: true, ..noisy(folder.path(), &["a"]) };
    let rig = Rig::try_start(kept.clone()).expect("the log opens");
    let status = fill(&rig, 20).await;
    rig.acknowledge("a", 1, status.head).await;
    let status = fill(&rig, 25).await;
    assert_eq!(status.ledger.lost(Loss::Evicted), 0, "{:?}", status.ledger);
    assert_eq!(status.ledger.pending, 25 * 16_384);
    assert!(on_disk(folder.path()) <= 8 << 20);
    rig.end().await;
    // The same with too little room for everything: the readings that were kept are still there.
    let small = tempfile::tempdir().expect("a folder");
    let rig = Rig::try_start(LogConfig { path: small.path().join("log.db"), ..kept.clone() })
        .expect("the log opens");
    rig.store_thirty().await;
    rig.acknowledge("a", 1, 30).await;
    rig.end().await;
    let late = LogConfig {
        path: small.path().join("log.db"),
        sinks: ["a", "late"].map(|sink| SinkRules::waited_for(sink, true)).into(),
        ..kept
    };
    let rig = Rig::try_start(late).expect("reopens");
    assert_eq!(rig.next("late").await, Some((1, 30)), "kept, so a late sink gets it too");
}

#[tokio::test(start_paused = true)]
async fn the_lowest_lane_goes_before_the_others_and_alarms_go_last() {
    let folder = folder();
    let rig = Rig::try_start(noisy(folder.path(), &["a"])).expect("the log opens");
    for lane in [Lane::Alarm, Lane::Live, Lane::Backfill] {
        rig.append_to(lane, (0..10).map(Value::Int)).await;
        let head = [10, 20, 30][lane as usize];
        rig.stored(head).await;
    }
    let mut rng = fastrand::Rng::with_seed(3);
    let mut noise = || Value::F64(f64::from_bits(rng.u64(1 << 62..)));
    let mut head = 30;
    let mut status = LogStatus::default();
    for _ in 0..45 {
        let values: Vec<Value> = (0..16_384).map(|_| noise()).collect();
        rig.append_to(Lane::Backfill, values.into_iter()).await;
        head += 16_384;
        status = rig.stored(head).await;
    }
    assert!(status.ledger.lost(Loss::Evicted) > 16_384);
    assert_eq!(rig.next("a").await.map(|(first, _)| first), Some(1), "the alarm is still there");
    rig.acknowledge("a", 1, 10).await;
    assert_eq!(rig.next("a").await.map(|(first, _)| first), Some(11), "and live");
    rig.acknowledge("a", 11, 20).await;
    assert!(rig.next("a").await.expect("pending").0 > 16_384, "the backfill gave way");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_stored_at_once_and_the_others_in_their_time() {
    let folder = folder();
    let mut slow = config(folder.path(), &["a"]);
    slow.commit_interval.backfill = SECOND * 60;
    let rig = Rig::try_start(slow).expect("the log opens");
    rig.store_thirty().await;
    let before = tokio::time::Instant::now();
    rig.append_to(Lane::Backfill, [Value::Int(1)].into_iter()).await;
    rig.stored(31).await;
    assert_eq!(before.elapsed(), SECOND * 60);
    rig.append_to(Lane::Alarm, [Value::Int(2)].into_iter()).await;
    rig.stored(32).await;
    assert_eq!(before.elapsed(), SECOND * 60);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_bound_holds_from_the_next_start_on() {
    let folder = folder();
    let wide = LogConfig { bytes_max: 64 << 20, ..noisy(folder.path(), &["a"]) };
    let rig = Rig::try_start(wide).expect("the log opens");
    let before = fill(&rig, 66).await; // 8.5 MiB
    assert_eq!(before.ledger.lost(Loss::Evicted), 0);
    rig.end().await;
    let rig = Rig::try_start(noisy(folder.path(), &["a"])).expect("reopens");
    assert!(on_disk(folder.path()) <= 8 << 20, "{} bytes", on_disk(folder.path()));
    let status = rig.end().await;
    assert!(status.ledger.lost(Loss::Evicted) > 0 && status.ledger.pending > 0);
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
}
