//! Readings that a sink refuses are kept, within bounds, until a person decides.
//!
//! Invariants checked: nothing waits behind a refused reading; each is quarantined, delivered or counted as
//! refused, and this survives a crash at any moment; copies are the very readings, and damage to a copy
//! costs nothing else.

use std::collections::BTreeSet;
use std::fs;

use outstation_codec::StoredSegment;

use super::*;
use crate::domain::model::quarantine::{Done, QuarantineCommand, QuarantineOrder};
use crate::event_log::actor::carry_out_alone;
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::store::commit::Commit;
use crate::event_log::store::copies::CopyChange;
use crate::event_log::store::database::Database;

pub(super) fn limited(folder: &Path, sinks: &[&str], most: u64) -> LogConfig {
    let limits = sinks.iter().map(|sink| ((*sink).to_owned(), most)).collect();
    LogConfig { quarantine_readings: limits, ..config(folder, sinks) }
}

pub(super) fn order(
    command: QuarantineCommand,
    sink: Option<&str>,
    numbers: &[(u64, u64)],
) -> QuarantineOrder {
    let numbers = (!numbers.is_empty()).then(|| numbers.to_vec());
    QuarantineOrder { command, sink: sink.map(str::to_owned), numbers }
}

pub(super) fn of(sink: &str, readings: u64) -> Done {
    Done { sink: sink.to_owned(), readings }
}

impl Rig {
    /// Plays an uploader to the end: the sink takes every reading except these.
    pub(super) async fn deliver_but(&self, sink: &str, refused: &[(u64, u64)]) {
        let reader = self.handle.reader(sink);
        while let Some(batch) = reader.next(ALL).await.expect("open") {
            for segment in &batch.segments {
                let (from, to) = (segment.first_seq, segment.last_seq());
                for seq in from..=to {
                    if refused.iter().any(|(first, last)| (*first..=*last).contains(&seq)) {
                        self.refuse(sink, segment, seq, seq).await;
                    } else {
                        self.acknowledge(sink, seq, seq).await;
                    }
                }
            }
            let received = Acknowledgement { readings: Vec::new(), ..Acknowledgement::of(&batch) };
            reader.acknowledge(received).await.expect("open");
        }
    }

    pub(super) async fn refuse(&self, sink: &str, segment: &StoredSegment, first: u64, last: u64) {
        let segment = segment.cut(first, last).expect("a part of it");
        let reason = format!("422: no such tag ({first})").into();
        let refused = Refused { segment, reason };
        self.handle.reader(sink).quarantine(refused).await.expect("open");
    }

    pub(super) async fn carry_out(&self, order: QuarantineOrder) -> Result<Vec<Done>, Declined> {
        self.handle.curator().carry_out(order).await.expect("open")
    }

    /// Opens the log again in the state in which it is found.
    pub(super) async fn reopened(config: LogConfig) -> Self {
        let rig = Self::try_start(config).expect("reopens");
        rig.handle.status().wait_for(LogStatus::is_opened).await.expect("open");
        rig
    }

    /// The status as of the last answer.
    pub(super) fn status(&self) -> LogStatus {
        let status = self.handle.status().borrow().clone();
        assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
        status
    }

    pub(super) fn books(&self) -> [u64; 4] {
        let ledger = self.status().ledger;
        [ledger.delivered, ledger.pending, ledger.quarantined, ledger.lost(Loss::Refused)]
    }

    /// Waits until deferred changes are committed, too.
    pub(super) async fn settled(&self) {
        tokio::time::sleep(SECOND * 11).await;
    }
}

/// The copies in the file: sink, first number, readings, whether they are offered again, reason.
type Copy = (String, u64, u64, bool, String);

fn copies(folder: &Path) -> Vec<Copy> {
    let database = rusqlite::Connection::open(folder.join("log.db")).expect("opens");
    let mut select = database
        .prepare("SELECT sink, first_seq, count, replayed, reason FROM quarantine ORDER BY 1, 2")
        .expect("a query");
    let rows = select.query_map([], |row| {
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        Ok((row.get(0)?, number(1)?, number(2)?, row.get(3)?, row.get(4)?))
    });
    rows.expect("rows").collect::<Result<_, _>>().expect("rows")
}

pub(super) fn kept(folder: &Path) -> Vec<(u64, u64)> {
    copies(folder).into_iter().map(|(_, first, count, ..)| (first, first + count - 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_kept_aside_and_nothing_waits_behind_it() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (17, 18)]).await;
    assert_eq!(rig.books(), [27, 0, 3, 0]);
    assert_eq!(rig.next("a").await, None, "it is not offered again");
    rig.append(10).await;
    rig.stored(40).await;
    assert_eq!(rig.drain("a").await.len(), 10);
    rig.settled().await;
    // The segments that the copies were part of have left the log.
    let database = Database::open(&folder.path().join("log.db"), 1).expect("opens");
    assert!(database.oldest_seq().expect("readable") > 18);
    drop(database);
    let found = copies(folder.path());
    let reason = |seq: u64| format!("422: no such tag ({seq})");
    let one = |seq: u64| ("a".to_owned(), seq, 1, false, reason(seq));
    assert_eq!(found, [one(5), one(17), one(18)]);
    rig.kill().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [37, 0, 3, 0]);
    let progress = rig.status().sinks["a"];
    assert_eq!((progress.quarantined, progress.refused, progress.delivered), (3, 0, 37));
}

#[tokio::test(start_paused = true)]
async fn a_replayed_reading_is_offered_from_its_copy_until_it_is_taken() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (17, 18)]).await;
    rig.append(10).await;
    rig.stored(40).await;
    rig.drain("a").await;
    rig.settled().await;
    let done = rig.carry_out(order(QuarantineCommand::Replay, None, &[(1, 17)])).await;
    assert_eq!(done, Ok(vec![of("a", 2)]));
    assert_eq!(rig.books(), [37, 2, 1, 0], "pending again");
    rig.kill().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    rig.append(10).await;
    rig.stored(50).await;
    assert_eq!(rig.next("a").await, Some((41, 50)), "what is fresh goes first");
    rig.acknowledge("a", 41, 50).await;
    let batch = rig.handle.reader("a").next(ALL).await.expect("open").expect("pending");
    assert_eq!((batch.lane, batch.ranges()), (Lane::Backfill, vec![(5, 5), (17, 17)]));
    assert_eq!(rig.handle.reader("a").next(ALL).await.expect("open"), Some(batch.clone()), "again");
    let mut values = Vec::new();
    batch.for_each(|dated| values.push(dated.reading.cells[0].1.clone())).expect("sound");
    assert_eq!(values, [Value::Int(4), Value::Int(6)], "the very readings");
    rig.acknowledge("a", 5, 5).await;
    rig.refuse("a", &batch.segments[1], 17, 17).await;
    assert_eq!(rig.books(), [48, 0, 2, 0]);
    assert_eq!(rig.drain("a").await.len(), 0);
    rig.settled().await;
    assert_eq!(kept(folder.path()), [(17, 17), (18, 18)]);
    rig.kill().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [48, 0, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_leaves_each_reading_in_one_place() {
    for wait in 0..14 {
        let folder = folder();
        let rig = Rig::start(folder.path(), &["a"]);
        rig.store_thirty().await;
        rig.deliver_but("a", &[(5, 5)]).await;
        tokio::time::sleep(SECOND * wait).await;
        rig.kill().await;
        let rig = Rig::reopened(config(folder.path(), &["a"])).await;
        let offered: BTreeSet<u64> = rig.drain("a").await.iter().map(|(seq, _)| *seq).collect();
        let [delivered, pending, quarantined, refused] = rig.books();
        assert_eq!((pending, refused), (0, 0), "after {wait} s");
        // A refusal that was not committed has no effect: the reading is offered, and taken, again.
        assert_eq!(quarantined, u64::from(!offered.contains(&5)), "after {wait} s");
        assert_eq!(delivered + quarantined, 30, "after {wait} s");
        let there = kept(folder.path()).len() as u64;
        assert_eq!(there, quarantined, "after {wait} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_give_way_when_there_are_too_many() {
    let folder = folder();
    let rig = Rig::try_start(limited(folder.path(), &["a"], 3)).expect("the log opens");
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 9), (17, 18)]).await;
    assert_eq!(rig.books(), [23, 0, 3, 4]);
    assert_eq!(rig.status().sinks["a"].refused, 4);
    rig.end().await;
    assert_eq!(kept(folder.path()), [(9, 9), (17, 17), (18, 18)]);
    // A limit that was lowered holds from the next start on.
    let rig = Rig::reopened(limited(folder.path(), &["a"], 1)).await;
    assert_eq!(rig.books(), [23, 0, 1, 6]);
    rig.end().await;
    assert_eq!(kept(folder.path()), [(18, 18)]);
    let rig = Rig::reopened(limited(folder.path(), &["a"], 0)).await;
    assert_eq!(rig.books(), [23, 0, 0, 7]);
    rig.append(10).await;
    rig.stored(40).await;
    rig.deliver_but("a", &[(33, 33)]).await;
    assert_eq!(rig.books(), [32, 0, 0, 8]);
    rig.end().await;
    assert_eq!(kept(folder.path()), []);
}

#[tokio::test(start_paused = true)]
async fn a_segment_refused_as_a_whole_is_divided_as_needed() {
    let folder = folder();
    let rig = Rig::try_start(limited(folder.path(), &["a"], 8)).expect("the log opens");
    rig.append(10).await;
    rig.stored(10).await;
    let batch = rig.handle.reader("a").next(ALL).await.expect("open").expect("pending");
    rig.refuse("a", &batch.segments[0], 1, 10).await;
    assert_eq!(rig.books(), [0, 0, 8, 2]);
    rig.settled().await;
    assert_eq!(kept(folder.path()), [(3, 10)]);
    rig.carry_out(order(QuarantineCommand::Replay, None, &[(5, 6)])).await.expect("done");
    assert_eq!(kept(folder.path()), [(3, 4), (5, 6), (7, 10)]);
    rig.carry_out(order(QuarantineCommand::Drop, None, &[(6, 8)])).await.expect("done");
    assert_eq!(kept(folder.path()), [(3, 4), (5, 5), (9, 10)]);
    assert_eq!(rig.books(), [0, 1, 4, 5]);
    assert_eq!(rig.drain("a").await, [(5, 4)]);
    assert_eq!(rig.books(), [1, 0, 4, 5]);
    // A probe is given as little as it asks for.
    rig.carry_out(order(QuarantineCommand::Replay, None, &[])).await.expect("done");
    let limits = Limits { readings_max: 1, bytes_max: 1 };
    let asked = rig.handle.reader("a").next(Ask { lanes: LANES, limits }).await.expect("open");
    assert_eq!(asked.expect("pending").ranges(), [(3, 3)]);
    let alarms = Ask { lanes: &[Lane::Alarm], limits };
    let asked = rig.handle.reader("a").next(alarms).await.expect("open");
    assert!(asked.is_none_or(|batch| batch.segments.is_empty()), "it is backfill");
}

#[tokio::test(start_paused = true)]
async fn with_several_sinks_each_reading_counts_once() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a", "b"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 6)]).await;
    assert_eq!(rig.books(), [0, 30, 0, 0], "b has nothing yet");
    rig.deliver_but("b", &[(6, 7)]).await;
    assert_eq!(rig.books(), [27, 0, 3, 0]);
    rig.carry_out(order(QuarantineCommand::Drop, Some("a"), &[])).await.expect("done");
    assert_eq!(rig.books(), [27, 0, 2, 1], "6 is kept for b");
    rig.carry_out(order(QuarantineCommand::Replay, Some("b"), &[])).await.expect("done");
    assert_eq!(rig.books(), [27, 2, 0, 1]);
    assert_eq!(rig.drain("b").await.len(), 2);
    assert_eq!(rig.books(), [28, 0, 0, 2], "b has 6, a never will");
}

#[tokio::test(start_paused = true)]
async fn orders_that_cannot_be_carried_out_say_what_to_do() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a", "b"]);
    rig.store_thirty().await;
    rig.deliver_but("b", &[(5, 5)]).await;
    let declined = |order| rig.carry_out(order);
    assert_eq!(
        declined(order(QuarantineCommand::Drop, Some("a"), &[])).await,
        Err(Declined::NothingSuch),
    );
    assert_eq!(
        declined(order(QuarantineCommand::Replay, None, &[(6, u64::MAX)])).await,
        Err(Declined::NothingSuch)
    );
    rig.carry_out(order(QuarantineCommand::Replay, None, &[(0, 5)])).await.expect("done");
    assert_eq!(
        declined(order(QuarantineCommand::Replay, None, &[])).await,
        Err(Declined::NothingSuch),
        "twice"
    );
    rig.end().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    rig.carry_out(order(QuarantineCommand::Drop, None, &[]))
        .await
        .expect("also what is offered again");
    rig.end().await;
    let rig = Rig::reopened(config(folder.path(), &["b"])).await;
    rig.append(1).await;
    rig.stored(31).await;
    rig.deliver_but("b", &[(31, 31)]).await;
    rig.end().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    let nobody = rig.carry_out(order(QuarantineCommand::Replay, None, &[])).await;
    assert_eq!(nobody, Err(Declined::NoSuchSink("b".into())));
    let nobody = rig.carry_out(order(QuarantineCommand::Replay, Some("b"), &[])).await;
    assert_eq!(nobody, Err(Declined::NoSuchSink("b".into())));
    rig.append(1).await;
    rig.stored(32).await;
    rig.deliver_but("a", &[(32, 32)]).await;
    let the_others = rig.carry_out(order(QuarantineCommand::Replay, None, &[])).await;
    assert_eq!(the_others, Ok(vec![of("a", 1)]));
    assert_eq!(rig.drain("a").await.len(), 1);
    rig.end().await;
    let done = carry_out_alone(
        config(folder.path(), &["b"]),
        Clock::simulated("boot", NOW),
        &order(QuarantineCommand::Drop, None, &[]),
    );
    assert_eq!(done.expect("opens"), Ok(vec![of("b", 1)]));
    assert_eq!(copies(folder.path()), []);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_copy_costs_that_copy_and_is_counted() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (7, 7), (17, 17)]).await;
    rig.end().await;
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    database
        .execute("UPDATE quarantine SET body = x'00' WHERE first_seq = 7", [])
        .expect("damaged");
    database.execute("DELETE FROM quarantine WHERE first_seq = 17", []).expect("damaged");
    drop(database);
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [27, 0, 2, 1], "one is seen to be missing at once");
    rig.carry_out(order(QuarantineCommand::Replay, None, &[])).await.expect("done");
    assert_eq!(rig.drain("a").await, [(5, 4)]);
    assert_eq!(rig.books(), [28, 0, 0, 2], "the other when it is needed");
    rig.end().await;
    assert_eq!(copies(folder.path()), []);
    assert!(!folder.path().join("log.db.damaged").exists());
}

#[tokio::test(start_paused = true)]
async fn a_salvaged_log_keeps_what_is_readable_of_the_quarantine() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (7, 7), (17, 17), (19, 19)]).await;
    rig.carry_out(order(QuarantineCommand::Drop, None, &[(7, 7)])).await.expect("done");
    rig.carry_out(order(QuarantineCommand::Replay, None, &[(17, 17)])).await.expect("done");
    rig.end().await;
    let before = copies(folder.path());
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    database
        .execute("UPDATE quarantine SET body = x'00' WHERE first_seq = 19", [])
        .expect("damaged");
    drop(database);
    // Without its first page, only the rows are left.
    let mut bytes = fs::read(folder.path().join("log.db")).expect("readable");
    bytes[..512].fill(0);
    fs::write(folder.path().join("log.db"), bytes).expect("damaged");
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert!(folder.path().join("log.db.damaged").exists());
    assert_eq!(rig.books(), [26, 1, 1, 2]);
    assert_eq!(copies(folder.path()), before[..2], "what was dropped does not come back");
    assert_eq!(rig.drain("a").await, [(17, 6)]);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_the_books_of_a_quarantine_are_lost_its_copies_speak_for_themselves() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (7, 7)]).await;
    rig.carry_out(order(QuarantineCommand::Replay, None, &[(7, 7)])).await.expect("done");
    rig.end().await;
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    for table in ["events", "snapshots"] {
        let forget = format!("DELETE FROM {table} WHERE stream = 'quarantine/a'");
        database.execute(&forget, []).expect("damaged");
    }
    database.execute("UPDATE meta SET crc = crc + 1", []).expect("damaged");
    database.execute_batch("VACUUM").expect("nothing of it is left");
    drop(database);
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert!(folder.path().join("log.db.damaged").exists());
    assert_eq!(rig.books(), [28, 1, 1, 0]);
    assert_eq!(rig.drain("a").await, [(7, 6)]);
}

/// Refuses readings that do not compress, of a kibibyte each.
async fn refuse_bulk(rig: &Rig, readings: u64) {
    let mut rng = fastrand::Rng::with_seed(9);
    let mut text = || {
        let text: String = std::iter::repeat_with(|| rng.alphanumeric()).take(1400).collect();
        Value::Text(text.into())
    };
    let mut head = rig.status().head;
    for _ in 0..readings / 50 {
        rig.append_to(Lane::Live, (0..50).map(|_| text())).await;
        head += 50;
        rig.stored(head).await;
        rig.deliver_but("a", &[(1, u64::MAX)]).await;
    }
}

fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("readable");
    entries.map(|entry| entry.expect("readable").metadata().expect("there").len()).sum()
}

#[tokio::test(start_paused = true)]
async fn copies_never_take_more_than_their_part_of_the_log() {
    let folder = folder();
    let bytes_max = crate::event_log::store::space::bounds(0).reserved + (1 << 20);
    let roomy = || LogConfig {
        bytes_max,
        commit_readings: 16_384,
        ..limited(folder.path(), &["a"], 100_000)
    };
    let rig = Rig::try_start(roomy()).expect("the log opens");
    refuse_bulk(&rig, 400).await; // 400 KiB, where they may have 128
    rig.settled().await;
    let status = rig.status();
    assert!(on_disk(folder.path()) <= bytes_max, "{}", on_disk(folder.path()));
    assert!(status.disk.used_bytes < 3 << 17, "{:?}", status.disk);
    assert!(status.ledger.quarantined > 40, "{:?}", status.ledger);
    assert_eq!(status.ledger.quarantined + status.ledger.refused, 400);
    // The same holds with a backlog that fills the log.
    for _ in 0..12 {
        let head = rig.status().head;
        rig.append_noise(16_384).await;
        rig.stored(head + 16_384).await;
    }
    let full = rig.status();
    assert!(full.ledger.evicted > 0, "{:?}", full.ledger);
    assert_eq!(full.ledger.quarantined, status.ledger.quarantined, "each has its part");
    assert!(on_disk(folder.path()) <= bytes_max, "{}", on_disk(folder.path()));
    rig.end().await;
    let small = LogConfig { bytes_max: bytes_max - (1 << 19), ..roomy() };
    let rig = Rig::reopened(small).await;
    rig.append(1).await;
    rig.settled().await;
    let status = rig.status();
    assert!(on_disk(folder.path()) <= bytes_max - (1 << 19), "{}", on_disk(folder.path()));
    let kept = status.ledger.quarantined;
    assert!(kept > 0 && kept < full.ledger.quarantined, "{:?}", status.ledger);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_years_takes_no_more_memory_than_what_is_kept() {
    let folder = folder();
    let limits = || limited(folder.path(), &["a", "b"], 10);
    let rig = Rig::try_start(limits()).expect("the log opens");
    let mut head = 0;
    for round in 0..30 {
        rig.append(60).await;
        head += 60;
        rig.stored(head).await;
        let every_third: Vec<(u64, u64)> =
            (head - 59..=head).filter(|seq| seq % 3 == 0).map(|seq| (seq, seq)).collect();
        rig.deliver_but("a", &every_third).await;
        // One old copy does not keep all younger ones in memory.
        let rare = if round == 0 { &[(2, 2)][..] } else { &[] };
        rig.deliver_but("b", rare).await;
        rig.settled().await;
    }
    let [delivered, pending, quarantined, refused] = rig.books();
    let all = head / 3;
    assert_eq!((pending, quarantined, refused), (0, 11, all - 10));
    assert_eq!(delivered, head - all - 1);
    let of_a = rig.status().sinks["a"];
    assert_eq!((of_a.quarantined, of_a.refused, of_a.delivered), (10, all - 10, head - all));
    let before = rig.end().await;
    let database = Database::open(&folder.path().join("log.db"), 1).expect("opens");
    let aggregates = crate::event_log::recovery::opening::load(&database).expect("readable");
    let runs = aggregates.quarantine("a").discarded.intervals().len();
    assert!(runs < 400, "{runs} runs are remembered");
    assert!(aggregates.books.forgotten > 200, "{}", aggregates.books.forgotten);
    assert!(aggregates.delivery("a").readings.intervals().len() < 10);
    drop(database);
    let after = Rig::try_start(limits()).expect("reopens").end().await;
    assert_eq!((after.ledger, after.sinks), (before.ledger, before.sinks));
}

#[test]
fn the_table_follows_any_changes() {
    let folder = folder();
    let mut database = Database::open(&folder.path().join("log.db"), 1).expect("opens");
    let rows = (0..50).map(|number| (Stamp::boot(number), vec![Value::Int(number)]));
    let whole = crate::test_kit::batches::segment(1, rows);
    let row = |sink: &str, first, last| QuarantineRow {
        sink: sink.to_owned(),
        segment: whole.cut(first, last).expect("a part"),
        at: outstation_codec::Moment { boot: 0, ms: 5 },
        replayed: false,
        reason: "no".into(),
    };
    let mut rng = fastrand::Rng::with_seed(3);
    let mut model = std::collections::BTreeMap::<(&str, u64), bool>::new();
    for round in 0..300 {
        let sink = ["a", "b"][rng.usize(..2)];
        let first = rng.u64(1..=50);
        let last = (first + rng.u64(..12)).min(50);
        let owned = sink.to_owned();
        let change = match rng.u8(..3) {
            0 => {
                model.extend((first..=last).map(|seq| ((sink, seq), false)));
                CopyChange::Keep(row(sink, first, last))
            }
            1 => {
                for ((of, seq), replayed) in &mut model {
                    *replayed |= *of == sink && (first..=last).contains(seq);
                }
                CopyChange::Mark { sink: owned, first, last }
            }
            _ => {
                model.retain(|(of, seq), _| *of != sink || !(first..=last).contains(seq));
                CopyChange::Remove { sink: owned, first, last }
            }
        };
        let copies = vec![change];
        database.commit(&Commit { copies, ..Commit::default() }).expect("stored");
        let mut found = std::collections::BTreeMap::new();
        for sink in ["a", "b"] {
            database
                .quarantined(sink, 0, |copy, sound| {
                    assert!(sound && copy.sink == sink, "round {round}");
                    let segment = copy.segment.decode().expect("decodes");
                    segment.for_each(copy.segment.first_seq, |reading| {
                        let value = i64::try_from(reading.seq).expect("small") - 1;
                        assert_eq!(reading.cells, [(0, &Value::Int(value))], "round {round}");
                        let twice = found.insert((sink, reading.seq), copy.replayed);
                        assert_eq!(twice, None, "round {round}");
                    });
                    true
                })
                .expect("readable");
        }
        assert_eq!(found, model, "round {round}");
        let numbers = database.copied().expect("readable").numbers;
        for (sink, seq) in model.keys() {
            assert!(numbers[*sink].contains(*seq), "round {round}");
        }
        assert_eq!(numbers.values().map(|set| set.count()).sum::<u64>(), model.len() as u64);
    }
}
