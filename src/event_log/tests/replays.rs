//! Readings that were refused and are offered again come in their turn, and are counted by what becomes of
//! them.
//!
//! Invariants checked: a reading that is offered again holds up nothing, even if its sink never takes it;
//! an order or a limit that meets it on its way leaves it where the sink's answer puts it.

use outstation_codec::Batch;

use super::quarantine::{kept, limited, of, order};
use super::*;
use crate::domain::model::quarantine::QuarantineCommand;
use crate::domain::policy::lanes;

const BACKFILL_FIRST: &[Lane] = &[Lane::Alarm, Lane::Backfill, Lane::Live];

/// A log of thirty readings, of which the sink refused these.
async fn refusing(config: LogConfig, refused: &[(u64, u64)]) -> Rig {
    let rig = Rig::try_start(config).expect("the log opens");
    rig.store_thirty().await;
    rig.deliver_but("a", refused).await;
    rig
}

impl Rig {
    async fn replay(&self, numbers: &[(u64, u64)]) {
        self.carry_out(order(QuarantineCommand::Replay, None, numbers)).await.expect("done");
    }

    async fn drop_refused(&self) {
        self.carry_out(order(QuarantineCommand::Drop, None, &[])).await.expect("done");
    }

    async fn asked(&self, lanes: &'static [Lane]) -> Option<Batch> {
        let limits = Limits { readings_max: 4, ..ALL.limits };
        self.handle.reader("a").next(Ask { lanes, limits }).await.expect("open")
    }

    async fn next_of(&self, lanes: &'static [Lane]) -> (Lane, u64) {
        self.asked(lanes).await.map(|batch| (batch.lane, batch.first_seq())).expect("pending")
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_replayed_goes_behind_alarms_and_what_is_fresh() {
    let folder = folder();
    let rig = refusing(config(folder.path(), &["a"]), &[(5, 5)]).await;
    rig.replay(&[]).await;
    rig.append(2).await;
    rig.append_to(Lane::Alarm, [Value::Int(0)].into_iter()).await;
    rig.stored(33).await;
    assert_eq!(rig.next_of(LANES).await, (Lane::Alarm, 33));
    rig.acknowledge("a", 33, 33).await;
    assert_eq!(rig.next_of(LANES).await, (Lane::Live, 31));
    assert_eq!(rig.next_of(BACKFILL_FIRST).await, (Lane::Backfill, 5), "in its turn");
    rig.acknowledge("a", 31, 32).await;
    assert_eq!(rig.next_of(LANES).await, (Lane::Backfill, 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_replayed_and_never_taken_lets_everything_else_go_by() {
    let folder = folder();
    let rig = refusing(config(folder.path(), &["a"]), &[(5, 5)]).await;
    rig.replay(&[]).await;
    rig.append_to(Lane::Backfill, (0..8).map(Value::Int)).await;
    rig.append(1).await;
    rig.stored(39).await;
    let mut gone = Vec::new();
    for _ in 0..8 {
        let batch = rig.asked(BACKFILL_FIRST).await.expect("pending");
        // The server answers each time that it cannot take this reading now.
        if batch.first_seq() != 5 {
            gone.extend(batch.ranges());
            rig.handle.reader("a").acknowledge(Acknowledgement::of(&batch)).await.expect("open");
        }
    }
    gone.sort_unstable();
    assert_eq!(gone.iter().map(|(first, last)| last - first + 1).sum::<u64>(), 9, "{gone:?}");
    assert_eq!(rig.next_of(LANES).await, (Lane::Backfill, 5), "it is still offered");
    assert_eq!(rig.books(), [38, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_all_as_stored_is_offered_what_is_replayed_first() {
    let folder = folder();
    let mut config = config(folder.path(), &["a"]);
    config.sinks[0].lanes.order = lanes::Order::AsStored;
    let rig = refusing(config, &[(5, 5), (7, 7)]).await;
    rig.replay(&[]).await;
    rig.append(2).await;
    rig.stored(32).await;
    for _ in 0..2 {
        assert_eq!(rig.next_of(LANES).await, (Lane::Backfill, 5));
    }
    rig.acknowledge("a", 5, 5).await;
    assert_eq!(rig.next_of(LANES).await, (Lane::Backfill, 7));
    rig.acknowledge("a", 7, 7).await;
    assert_eq!(rig.next_of(LANES).await.1, 31);
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_on_its_way_and_taken_all_the_same_is_delivered() {
    let folder = folder();
    let rig = refusing(config(folder.path(), &["a"]), &[(5, 8)]).await;
    rig.replay(&[]).await;
    let batch = rig.asked(LANES).await.expect("pending");
    rig.drop_refused().await;
    assert_eq!(rig.books(), [26, 0, 0, 4]);
    rig.acknowledge("a", 5, 6).await;
    assert_eq!(rig.books(), [28, 0, 0, 2]);
    rig.end().await;
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [28, 0, 0, 2], "for good");
    assert_eq!(batch.ranges(), [(5, 8)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_on_its_way_and_refused_again_stays_dropped() {
    let folder = folder();
    let rig = refusing(config(folder.path(), &["a"]), &[(5, 5)]).await;
    rig.append(4).await;
    rig.stored(34).await;
    let batch = rig.asked(LANES).await.expect("pending");
    let whole = &batch.segments[0];
    rig.refuse("a", whole, 31, 34).await;
    rig.replay(&[(31, 34)]).await;
    let again = rig.asked(LANES).await.expect("pending");
    assert_eq!(again.segments, std::slice::from_ref(whole), "as one");
    rig.carry_out(order(QuarantineCommand::Drop, None, &[(32, 33)])).await.expect("done");
    rig.refuse("a", whole, 31, 34).await;
    assert_eq!(rig.books(), [29, 0, 3, 2]);
    rig.refuse("a", whole, 32, 32).await;
    assert_eq!(rig.books(), [29, 0, 3, 2]);
    rig.end().await;
    assert_eq!(kept(folder.path()), [(5, 5), (31, 31), (34, 34)]);
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [29, 0, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_spares_what_is_offered_again_as_long_as_it_can() {
    let folder = folder();
    let rig = refusing(limited(folder.path(), &["a"], 2), &[(5, 6)]).await;
    rig.replay(&[(5, 5)]).await;
    rig.append(2).await;
    rig.stored(32).await;
    let batch = rig.handle.reader("a").next(ALL).await.expect("open").expect("pending");
    rig.refuse("a", &batch.segments[0], 31, 31).await;
    assert_eq!(rig.books(), [28, 2, 1, 1], "6 gave way");
    rig.acknowledge("a", 5, 5).await;
    rig.acknowledge("a", 32, 32).await;
    assert_eq!(rig.books(), [30, 0, 1, 1]);
    // With a limit that keeps no copy, a reading that the sink takes is delivered all the same.
    rig.replay(&[]).await;
    rig.end().await;
    let rig = Rig::reopened(limited(folder.path(), &["a"], 0)).await;
    assert_eq!(rig.books(), [30, 0, 0, 2]);
    rig.acknowledge("a", 31, 31).await;
    assert_eq!(rig.books(), [31, 0, 0, 1]);
    assert_eq!(rig.carry_out(order(QuarantineCommand::Drop, None, &[])).await.ok(), None::<Vec<_>>);
    assert_eq!(of("a", 1).readings, 1);
}
