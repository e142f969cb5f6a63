//! Which readings go first, which wait, and which may leave the log before a sink has them.

use super::*;
use crate::domain::policy::lanes::{LanePolicy, Order};
use crate::event_log::settings::Intervals;

const LIVE: &[Lane] = &[Lane::Live];
const BACKFILL_FIRST: &[Lane] = &[Lane::Alarm, Lane::Backfill, Lane::Live];

type Offered = Option<(Lane, Vec<(u64, u64)>)>;

impl Rig {
    async fn ask(&self, sink: &str, lanes: &'static [Lane]) -> Offered {
        let batch = self.handle.reader(sink).next(Ask { lanes, ..ALL }).await.expect("open")?;
        (!batch.segments.is_empty()).then(|| (batch.lane, batch.ranges()))
    }

    /// Takes and acknowledges what it is offered.
    async fn take(&self, sink: &str, lanes: &'static [Lane]) -> Offered {
        let offered = self.ask(sink, lanes).await?;
        for (first, last) in &offered.1 {
            self.acknowledge(sink, *first, *last).await;
        }
        Some(offered)
    }

    /// Appends readings of one sensor in one message, the last ones alarms.
    async fn append_alarmed(&self, values: std::ops::Range<i64>, alarms: usize) {
        let sensor = Arc::new(Sensor {
            port: "p".into(),
            name: "s".into(),
            channels: vec![Channel { name: "t".into(), unit: "".into(), kind: ValueType::Int }],
        });
        let mut append = Append { port: "p".into(), ..Append::default() };
        let split = values.end - i64::try_from(alarms).expect("few");
        for value in values {
            let to = if value < split { &mut append.readings } else { &mut append.alarms };
            to.push(&sensor, Stamp::boot(value), [(0, Value::Int(value))]);
        }
        append.intake.accepted = (append.readings.len() + append.alarms.len()) as u64;
        append.intake.frames = append.intake.accepted;
        self.handle.appender().permit().await.expect("open").send(append);
    }

    /// Makes this number of commits of ten readings, a second apart.
    async fn commits(&self, lane: Lane, count: u64) {
        for _ in 0..count {
            let head = self.head().await;
            self.append_to(lane, (0..10).map(Value::Int)).await;
            self.stored(head + 10).await;
        }
    }

    async fn head(&self) -> u64 {
        let mut status = self.handle.status();
        status.wait_for(LogStatus::is_opened).await.expect("open").head
    }

    fn progress(&self, sink: &str) -> Progress {
        self.handle.status().borrow().sinks[sink]
    }
}

fn ruled(folder: &Path, sinks: &[(&str, bool, Order)]) -> LogConfig {
    let rules = |(name, best_effort, order): &(&str, bool, Order)| SinkRules {
        best_effort: *best_effort,
        lanes: LanePolicy { order: *order, ..LanePolicy::default() },
        ..SinkRules::waited_for(name, true)
    };
    LogConfig { sinks: sinks.iter().map(rules).collect(), ..config(folder, &[]) }
}

fn start(folder: &Path, sinks: &[(&str, bool, Order)]) -> Rig {
    Rig::try_start(ruled(folder, sinks)).expect("the log opens")
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_freshest_goes_first_and_the_rest_is_backlog_in_order() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 100).await;
    let Some((Lane::Live, ranges)) = rig.take("a", LANES).await else { panic!("fresh first") };
    let [(first, 1000)] = ranges[..] else { panic!("{ranges:?}") };
    assert!((930..=960).contains(&first), "about half the window of ten seconds: {first}");
    let progress = rig.progress("a");
    assert_eq!((progress.pending, progress.backlog), (first - 1, first - 1));
    assert_eq!(progress.pending_lanes, PendingLanes { backfill: true, ..PendingLanes::default() });
    // New readings overtake the backlog, batch by batch.
    rig.commits(Lane::Live, 1).await;
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(1001, 1010)])));
    let limits = Limits { readings_max: 500, bytes_max: usize::MAX };
    let batch = rig.handle.reader("a").next(Ask { lanes: LANES, limits }).await.expect("open");
    let batch = batch.expect("pending");
    assert_eq!((batch.lane, batch.first_seq()), (Lane::Backfill, 1));
    rig.acknowledge("a", 1, batch.last_seq()).await;
    let rest = vec![(batch.last_seq() + 1, first - 1)];
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Backfill, rest)));
    assert_eq!(rig.ask("a", LANES).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_all_there_is_when_a_sensor_fell_silent() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 3).await;
    tokio::time::sleep(SECOND * 3600).await;
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(21, 30)])), "the last state");
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Backfill, vec![(1, 20)])));
    assert_eq!(rig.ask("a", LANES).await, None);
}

#[tokio::test(start_paused = true)]
async fn readings_of_another_boot_are_old_however_long_they_were_waited_for() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 3).await;
    rig.end().await;
    let clock = Clock::simulated("another boot", NOW);
    let rig = Rig(TestLog::start(config(folder.path(), &["a"]), clock));
    rig.commits(Lane::Live, 1).await;
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(31, 40)])));
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Backfill, vec![(1, 30)])));
}

#[tokio::test(start_paused = true)]
async fn how_long_the_oldest_reading_waits_is_known_over_a_boot() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 2).await;
    let arrived = rig.progress("a").oldest_ms.expect("something waits");
    assert!((0..=1000).contains(&arrived), "with the first commit: {arrived}");
    rig.end().await;
    // An hour later by clocks that were set both times, the device has just booted.
    let clock = Clock::simulated("another boot", NOW + 3_600_000);
    let rig = Rig(TestLog::start(config(folder.path(), &["a"]), clock));
    rig.commits(Lane::Live, 1).await;
    assert_eq!(rig.progress("a").oldest_ms, Some(arrived - 3_600_000));
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(21, 30)])));
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Backfill, vec![(1, 20)])));
    rig.commits(Lane::Live, 1).await;
    let since = rig.progress("a").oldest_ms.expect("something waits");
    assert!((1000..=3000).contains(&since), "of this boot: {since}");
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(31, 40)])));
    rig.ask("a", LANES).await;
    assert_eq!(rig.progress("a").oldest_ms, None, "it has all");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_overtakes_everything_and_is_not_offered_twice() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 20).await;
    rig.append_alarmed(0..5, 1).await;
    rig.stored(205).await;
    assert!(rig.progress("a").pending_lanes.alarm);
    assert_eq!(rig.ask("a", &[Lane::Alarm]).await, Some((Lane::Alarm, vec![(205, 205)])));
    let events = rig.handle.reader("a").next(Ask { lanes: &[Lane::Alarm], ..ALL }).await;
    assert_eq!(events.expect("open").map(|batch| batch.events), Some(vec![]), "nothing with it");
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Alarm, vec![(205, 205)])));
    assert_eq!(rig.ask("a", &[Lane::Alarm]).await, None);
    assert!(!rig.progress("a").pending_lanes.alarm);
    let mut rest = rig.take("a", LANES).await.expect("live").1;
    rest.extend(rig.take("a", LANES).await.expect("backlog").1);
    rest.sort_unstable();
    assert_eq!((rest[0].0, rest[rest.len() - 1].1), (1, 204));
    assert_eq!(rig.ask("a", LANES).await, None);
}

#[tokio::test(start_paused = true)]
async fn alarms_are_numbered_behind_what_was_read_before_them_and_before_what_came_after() {
    let folder = folder();
    let slow = LogConfig {
        commit_interval: Intervals { alarm: SECOND, live: SECOND, backfill: SECOND },
        ..config(folder.path(), &["a"])
    };
    let rig = Rig::try_start(slow).expect("the log opens");
    // Three messages are in one commit.
    rig.append_alarmed(0..4, 2).await;
    rig.append_alarmed(4..6, 0).await;
    rig.append_alarmed(6..8, 1).await;
    rig.stored(8).await;
    assert_eq!(rig.ask("a", LANES).await, Some((Lane::Alarm, vec![(3, 4), (8, 8)])));
    let as_read = (0..8i64).map(|value| (value.unsigned_abs() + 1, value));
    assert_eq!(rig.drain("a").await, as_read.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_as_backfill_waits_behind_what_is_live() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Backfill, 1).await;
    rig.commits(Lane::Live, 1).await;
    rig.commits(Lane::Backfill, 2).await;
    rig.commits(Lane::Live, 1).await;
    let lanes = rig.progress("a").pending_lanes;
    assert_eq!(lanes, PendingLanes { alarm: false, live: true, backfill: true });
    assert_eq!(rig.ask("a", BACKFILL_FIRST).await, Some((Lane::Backfill, vec![(1, 10)])));
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(11, 20), (41, 50)])));
    assert_eq!(rig.ask("a", LIVE).await, None);
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Backfill, vec![(1, 10), (21, 40)])));
    assert_eq!(rig.ask("a", LANES).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_everything_as_it_was_stored_is_overtaken_by_nothing() {
    let folder = folder();
    let rig = start(folder.path(), &[("a", false, Order::AsStored)]);
    rig.commits(Lane::Live, 1).await;
    rig.commits(Lane::Backfill, 1).await;
    rig.append_alarmed(0..5, 1).await;
    rig.stored(25).await;
    assert_eq!(rig.ask("a", &[Lane::Alarm]).await, None);
    assert_eq!(rig.ask("a", LANES).await, Some((Lane::Live, vec![(1, 25)])));
    tokio::time::sleep(SECOND * 60).await;
    rig.commits(Lane::Live, 1).await;
    assert_eq!(rig.take("a", LIVE).await, Some((Lane::Backfill, vec![(1, 35)])));
    rig.commits(Lane::Live, 1).await;
    assert_eq!(
        rig.progress("a").pending_lanes,
        PendingLanes { live: true, ..PendingLanes::default() }
    );
    assert_eq!(rig.take("a", LANES).await, Some((Lane::Live, vec![(36, 45)])));
}

#[tokio::test(start_paused = true)]
async fn of_a_segment_had_in_part_only_the_rest_is_offered_with_its_own_values() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.commits(Lane::Live, 2).await;
    for (first, last) in [(3, 4), (7, 7), (11, 19)] {
        rig.acknowledge("a", first, last).await;
    }
    let expected = vec![(1, 2), (5, 6), (8, 10), (20, 20)];
    assert_eq!(rig.ask("a", LANES).await, Some((Lane::Live, expected)));
    let numbers = [1, 2, 5, 6, 8, 9, 10, 20];
    let values = numbers.map(|number| (number, i64::try_from((number - 1) % 10).expect("small")));
    assert_eq!(rig.drain("a").await, values);
    let last = rig.end().await;
    assert_eq!((last.ledger.pending, last.ledger.delivered), (0, 20));
}

#[tokio::test(start_paused = true)]
async fn with_very_many_gaps_nothing_makes_new_ones_in_passing() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    for _ in 0..30 {
        let head = rig.handle.status().borrow().head;
        rig.append(100).await;
        rig.stored(head + 100).await;
    }
    for number in (1..=3000).step_by(2) {
        rig.acknowledge("a", number, number).await;
    }
    rig.append_to(Lane::Backfill, [Value::Int(1)].into_iter()).await;
    rig.stored(3001).await;
    rig.commits(Lane::Live, 1).await;
    rig.append_alarmed(0..1, 1).await;
    rig.stored(3012).await;
    assert_eq!(rig.take("a", &[Lane::Alarm]).await, Some((Lane::Alarm, vec![(3012, 3012)])));
    let (lane, ranges) = rig.ask("a", LIVE).await.expect("pending");
    assert_eq!((lane, *ranges.last().expect("some")), (Lane::Live, (3000, 3011)), "in order");
}

#[tokio::test(start_paused = true)]
async fn one_dead_sink_never_delays_another() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["dead", "well"]);
    let mut received = 0;
    // For ten minutes the dead sink takes what it is offered and never answers.
    for commit in 1..=600u64 {
        rig.append(1).await;
        rig.stored(commit).await;
        if commit % 100 == 0 {
            assert!(rig.ask("dead", LANES).await.is_some());
        }
        let asked = tokio::time::Instant::now();
        assert_eq!(rig.take("well", LANES).await, Some((Lane::Live, vec![(commit, commit)])));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        received += 1;
    }
    let (dead, well) = (rig.progress("dead"), rig.progress("well"));
    assert_eq!((well.delivered, well.pending), (received, 0));
    assert_eq!((dead.delivered, dead.pending, dead.skipped), (0, 600, 0));
    assert_eq!(rig.drain("dead").await.len(), 600, "and it gets all of it: retention waited");
    assert_eq!(rig.end().await.ledger.imbalances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_best_effort_sink_does_without_what_left_before_it_had_it_and_that_is_counted() {
    let folder = folder();
    let sinks = [("sure", false, Order::LiveFirst), ("maybe", true, Order::LiveFirst)];
    let rig = start(folder.path(), &sinks);
    rig.commits(Lane::Live, 5).await;
    rig.acknowledge("maybe", 11, 20).await;
    rig.acknowledge("sure", 1, 50).await;
    rig.commits(Lane::Live, 1).await;
    let before = rig.end().await;
    assert_eq!(before.sinks["maybe"].skipped, 40, "all but what it had");
    let rig = start(folder.path(), &sinks);
    assert_eq!(rig.take("maybe", LANES).await, Some((Lane::Live, vec![(51, 60)])));
    assert_eq!(rig.ask("maybe", LANES).await, None);
    rig.acknowledge("sure", 51, 60).await;
    let last = rig.end().await;
    let maybe = last.sinks["maybe"];
    assert_eq!((maybe.delivered, maybe.pending, maybe.skipped), (20, 0, 40));
    assert_eq!((last.ledger.delivered, last.ledger.lost(Loss::Damaged)), (60, 0));
    assert_eq!(last.ledger.imbalances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn where_every_sink_is_best_effort_all_are_waited_for() {
    let folder = folder();
    let sinks = [("a", true, Order::LiveFirst), ("b", true, Order::LiveFirst)];
    let rig = start(folder.path(), &sinks);
    rig.commits(Lane::Live, 2).await;
    rig.acknowledge("a", 1, 20).await;
    rig.end().await;
    let rig = start(folder.path(), &sinks);
    assert_eq!(rig.drain("b").await.len(), 20);
    assert_eq!(rig.end().await.sinks["b"].skipped, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_log_gives_up_first_is_what_only_a_best_effort_sink_lacks() {
    let folder = folder();
    let sinks = [("sure", false, Order::LiveFirst), ("maybe", true, Order::LiveFirst)];
    let full = LogConfig {
        retain_delivered: true,
        commit_readings: 16_384,
        ..ruled(folder.path(), &sinks)
    };
    let rig = Rig::try_start(full).expect("the log opens");
    let mut status = LogStatus::default();
    for commit in 1..=48 {
        rig.append_noise(16_384).await;
        status = rig.stored(commit * 16_384).await;
        rig.acknowledge("sure", 1, status.head).await;
    }
    let maybe = rig.progress("maybe");
    assert!(maybe.skipped > 0, "{maybe:?}");
    assert_eq!(maybe.pending, status.head - maybe.skipped);
    assert_eq!(status.ledger.lost(Loss::Evicted), 0);
    let (_, ranges) = rig.ask("maybe", BACKFILL_FIRST).await.expect("pending");
    assert_eq!(ranges[0].0, maybe.skipped + 1, "it goes on behind them");
}
