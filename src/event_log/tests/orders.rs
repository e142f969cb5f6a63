//! Orders on many readings, orders while the storage fails, and the cost of the quarantine's books.

use outstation_codec::PublishedEvent;

use std::cell::Cell;

use super::quarantine::{kept, limited, of, order};
use super::*;
use crate::domain::model::quarantine::QuarantineCommand;
use crate::event_log::actor::carry_out_alone;
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::quarantine::kept::forget_discarded;

/// A log of this many readings, of which sink `a` has every second one and the others refused it.
fn alternating(folder: &Path, sinks: &[&str], readings: i64) -> (LogActor, LogHandle, Mailbox) {
    let limits = limited(folder, sinks, 100_000);
    let mut actor = LogActor::open(limits, Clock::simulated("boot", NOW)).expect("opens");
    let (handle, mailbox) = channel();
    store(&mut actor, &mailbox, readings);
    for seq in (2..=readings.unsigned_abs()).step_by(2) {
        let refused = PublishedEvent::Refused { first: seq, last: seq, reason: "no".into() };
        actor.parts().0.record(Stream::quarantine("a"), refused);
    }
    let receipt = Acknowledgement { readings: vec![(1, readings.unsigned_abs())], events: None };
    for sink in sinks {
        let had = Event::Acknowledged { first: 1, last: receipt.readings[0].1 };
        actor.parts().0.record(Stream::delivery(sink), had);
    }
    actor.commit(&mailbox, true).expect("stored");
    (actor, handle, mailbox)
}

/// Stores this many readings in a segment of their own.
fn store(actor: &mut LogActor, mailbox: &Mailbox, readings: i64) {
    let channels = vec![Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::Int }];
    let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels });
    let mut append = Append { port: "p".into(), ..Append::default() };
    for number in 0..readings {
        append.readings.push(&sensor, Stamp::boot(number), [(0, Value::Int(number))]);
    }
    append.intake.accepted = readings.unsigned_abs();
    append.intake.frames = append.intake.accepted;
    actor.take(append);
    actor.commit(mailbox, true).expect("stored");
}

fn running((actor, handle, mailbox): (LogActor, LogHandle, Mailbox)) -> Rig {
    Rig(TestLog::run(actor, handle, mailbox, Heartbeat::unwatched()))
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_written_is_carried_out_when_it_can() {
    let folder = folder();
    let rig = running(alternating(folder.path(), &["a"], 12_000));
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    let hinder = "CREATE TRIGGER t BEFORE INSERT ON snapshots BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.execute_batch(hinder).expect("hindered");
    let declined =
        rig.carry_out(order(QuarantineCommand::Drop, None, &[])).await.expect_err("not stored");
    assert!(declined.to_string().starts_with("it is done as soon as"), "{declined}");
    rig.settled().await;
    let [delivered, _, quarantined, refused] = rig.books();
    assert_eq!((delivered, quarantined + refused), (6000, 6000));
    assert!(quarantined > 3000, "{quarantined} wait: what is not written must not fill memory");
    database.execute_batch("DROP TRIGGER t").expect("no more");
    rig.settled().await;
    assert_eq!(rig.books(), [6000, 0, 0, 6000]);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_large_order_is_carried_out_others_are_heard() {
    for (command, books) in [
        (QuarantineCommand::Drop, [20_000, 0, 0, 20_000]),
        (QuarantineCommand::Replay, [20_000, 20_000, 0, 0]),
    ] {
        let folder = folder();
        let rig = running(alternating(folder.path(), &["a"], 40_000));
        let carried_out = Cell::new(false);
        let ordering = async {
            let done = rig.carry_out(order(command, None, &[])).await;
            carried_out.set(true);
            done
        };
        let asking = async {
            rig.handle.reader("a").recall().await.expect("open");
            assert_eq!(rig.carry_out(order(command, None, &[])).await, Err(Declined::Busy));
            let mut answers = 2;
            while !carried_out.get() {
                rig.handle.reader("a").recall().await.expect("open");
                answers += 1;
            }
            answers
        };
        let (done, answers) = tokio::join!(ordering, asking);
        assert_eq!(done, Ok(vec![of("a", 20_000)]));
        assert_eq!(rig.books(), books);
        assert!(answers > 5, "{answers} answers");
        rig.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_daemon_what_could_not_be_written_is_not_done_and_said_to_be_so() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.deliver_but("a", &[(5, 5), (7, 7)]).await;
    rig.end().await;
    let hindered = || rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    let hinder =
        "CREATE TRIGGER t BEFORE DELETE ON quarantine BEGIN SELECT RAISE(ABORT, 'no'); END";
    hindered().execute_batch(hinder).expect("hindered");
    let alone = |command| {
        let clock = Clock::simulated("boot", NOW);
        carry_out_alone(config(folder.path(), &["a"]), clock, &order(command, None, &[]))
            .expect("opens")
    };
    let declined = alone(QuarantineCommand::Drop).expect_err("not done").to_string();
    assert!(declined.starts_with("nothing was changed: "), "{declined}");
    assert!(declined.ends_with("; repeat it when that is mended"), "{declined}");
    assert_eq!(kept(folder.path()), [(5, 5), (7, 7)]);
    let rig = Rig::reopened(config(folder.path(), &["a"])).await;
    assert_eq!(rig.books(), [28, 0, 2, 0]);
    rig.end().await;
    hindered().execute_batch("DROP TRIGGER t").expect("no more");
    assert_eq!(alone(QuarantineCommand::Drop), Ok(vec![of("a", 2)]));
    assert_eq!(alone(QuarantineCommand::Drop), Err(Declined::NothingSuch));
    assert_eq!(kept(folder.path()), []);
}

#[tokio::test(start_paused = true)]
async fn each_sink_that_refused_much_is_forgotten_the_oldest_whatever_the_others_did() {
    let folder = folder();
    let (mut actor, _handle, mailbox) = alternating(folder.path(), &["a", "b"], 4000);
    // Between any two kept readings, `a` has too few runs of discarded ones to be forgotten, and `b` has
    // enough.
    for seq in (2..=1000_u64).step_by(2) {
        match seq % 100 {
            0 => {}
            _ => actor.parts().0.record(
                Stream::quarantine("a"),
                PublishedEvent::Discarded { first: seq, last: seq },
            ),
        }
    }
    let delivered = Event::Acknowledged { first: 1002, last: 4000 };
    actor
        .parts()
        .0
        .record(Stream::quarantine("a"), PublishedEvent::Replayed { first: 1002, last: 4000 });
    actor.parts().0.record(Stream::quarantine("a"), delivered);
    for seq in (1001..=3000_u64).step_by(2) {
        let refused = PublishedEvent::Refused { first: seq, last: seq, reason: "no".into() };
        actor.parts().0.record(Stream::quarantine("b"), refused);
        actor
            .parts()
            .0
            .record(Stream::quarantine("b"), PublishedEvent::Discarded { first: seq, last: seq });
    }
    store(&mut actor, &mailbox, 1);
    store(&mut actor, &mailbox, 1);
    let (state, storage) = actor.parts();
    assert!(storage.database().oldest_seq().expect("readable") > 4000);
    forget_discarded(state, storage.database()).expect("readable");
    let runs = |sink: &str| state.aggregates().quarantine(sink).discarded.intervals().len();
    assert_eq!(runs("a"), 490);
    assert_eq!((runs("b"), state.aggregates().quarantine("b").forgotten), (0, 1000));
}
