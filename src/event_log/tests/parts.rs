//! The parts of the log alone, each with the state it owns, without the loop that joins them.

use outstation_codec::Readings;
use tokio::sync::oneshot;

use super::*;
use crate::domain::model::quarantine::{Done, QuarantineCommand, QuarantineOrder};
use crate::event_log::actor::OpenSegments;
use crate::event_log::offer::offers::Offers;
use crate::event_log::quarantine::declined::Declined;
use crate::event_log::quarantine::kept::Copies;
use crate::event_log::quarantine::orders::Orders;
use crate::event_log::retention::room::Retention;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::state::log_state::LogState;
use crate::event_log::store::commit::{Commit, NewSegment};
use crate::event_log::store::database::Database;
use crate::event_log::store::files::Files;
use crate::event_log::store::storage::Storage;

/// The state of a log of these sinks before it has any reading.
fn state(folder: &Path, sinks: &[&str]) -> LogState {
    let clock = Clock::simulated("boot", NOW);
    LogState::new(config(folder, sinks), clock, Aggregates::default(), 1)
}

fn readings(count: i64) -> Readings {
    let channels = vec![Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::Int }];
    let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels });
    let mut readings = Readings::default();
    for number in 0..count {
        readings.push(&sensor, Stamp::boot(number), [(0, Value::Int(number))]);
    }
    readings
}

/// Segments of this many readings each, by lane.
fn sealed(state: &mut LogState, lanes: &[(Lane, i64)]) -> Vec<NewSegment> {
    let mut open = OpenSegments::new();
    for (lane, count) in lanes {
        open.take(*lane, &mut readings(*count), state);
        open.rotate();
    }
    open.seal(1, state.boot(), usize::MAX)
}

/// A log file with these segments in it, all durable.
fn stored(folder: &Path, state: &mut LogState, segments: Vec<NewSegment>) -> Storage {
    let files = Files::of(&folder.join("log.db"));
    let lock = files.lock().expect("not in use");
    let database = Database::open(files.log(), 7).expect("opens");
    let mut storage = Storage::new(files, lock, database).expect("is there");
    let count = segments.iter().map(|new| new.segment.count as usize).sum();
    let commit = Commit { segments, ..Commit::default() };
    storage.commit(&commit).expect("stored");
    state.committed(count, true);
    storage
}

#[test]
fn alarms_are_numbered_behind_what_was_read_before_them() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    let mut open = OpenSegments::new();
    open.take(Lane::Alarm, &mut readings(1), &mut state);
    open.take(Lane::Backfill, &mut readings(3), &mut state);
    open.take(Lane::Live, &mut readings(2), &mut state);
    let sealed = open.seal(10, 0, usize::MAX);
    let lanes: Vec<_> =
        sealed.iter().map(|new| (new.segment.lane, new.segment.first_seq)).collect();
    assert_eq!(lanes, [(Lane::Live, 10), (Lane::Backfill, 12), (Lane::Alarm, 15)]);
    assert_eq!((open.clear(), open.is_empty()), (6, true));
}

#[test]
fn a_small_commit_takes_the_oldest_and_leaves_the_rest() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    let mut open = OpenSegments::new();
    for _ in 0..3 {
        open.take(Lane::Live, &mut readings(20), &mut state);
        open.rotate();
    }
    assert_eq!(open.seal(1, 0, 1).len(), 1);
    assert_eq!((open.clear(), open.len()), (20, 40));
    assert_eq!(open.seal(21, 0, usize::MAX).len(), 2);
    assert_eq!((open.clear(), open.len()), (40, 0));
}

#[test]
fn memory_gives_up_the_oldest_of_the_lowest_lane_and_counts_them() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    let mut open = OpenSegments::new();
    for lane in [Lane::Alarm, Lane::Backfill, Lane::Live] {
        open.take(lane, &mut readings(40), &mut state);
        open.rotate();
    }
    open.keep_newest(&mut state);
    let lanes: Vec<_> = open.seal(1, 0, usize::MAX).iter().map(|new| new.segment.lane).collect();
    assert_eq!(lanes, [Lane::Alarm, Lane::Live]);
    assert_eq!(state.aggregates().books.ports["p"].overflow, 40);
}

#[test]
fn another_boot_and_another_generation_are_recorded_once() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    assert_eq!(state.boot(), 0);
    assert!(state.enter_generation() && !state.enter_generation());
    let clock = Clock::simulated("next boot", NOW);
    let next = LogState::new(state.config().clone(), clock, state.aggregates().clone(), 1);
    assert_eq!(next.boot(), 1);
}

#[test]
fn a_new_sink_gets_what_is_still_in_the_log() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    state.committed(9, true);
    assert!(!state.welcome_sinks(1));
    assert!(state.welcome_sinks(5) && !state.welcome_sinks(5));
    assert_eq!(state.aggregates().closed("a").intervals(), [(1, 4)]);
}

#[test]
fn the_lowest_lane_is_evicted_first_and_the_newest_segment_stays() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    let lanes = [(Lane::Alarm, 50), (Lane::Live, 50), (Lane::Backfill, 50), (Lane::Live, 50)];
    let segments = sealed(&mut state, &lanes);
    let storage = stored(folder.path(), &mut state, segments);
    let (mut retention, mut copies) = (Retention::new(0), Copies::default());
    let excess = retention.excess(&storage, &mut state, &mut copies).expect("readable");
    assert_eq!(excess, [(101, 101), (51, 51), (1, 1)]);
    assert_eq!(state.aggregates().books.evicted.intervals(), [(1, 150)]);
    // The segments are not chosen again until a commit has removed them.
    assert_eq!(retention.excess(&storage, &mut state, &mut copies).expect("readable"), excess);
}

#[test]
fn what_the_log_lacks_is_written_off_and_what_follows_is_offered() {
    let folder = folder();
    let mut state = state(folder.path(), &["a"]);
    let mut segments = sealed(&mut state, &[(Lane::Live, 5), (Lane::Live, 5)]);
    segments.remove(0);
    let storage = stored(folder.path(), &mut state, segments);
    state.committed(5, true);
    let (mut offers, mut copies) = (Offers::default(), Copies::default());
    let next = offers.next(storage.database(), &mut state, &mut copies, "a", ALL);
    let next = next.expect("readable");
    assert!(next.wrote_off);
    assert_eq!(next.batch.expect("something").ranges(), [(6, 10)]);
    assert_eq!(state.aggregates().books.damaged.intervals(), [(1, 5)]);
}

/// A sink `a` that has refused the only segment of the log.
fn refused(folder: &Path) -> (LogState, Copies) {
    let mut state = state(folder, &["a"]);
    let segment = sealed(&mut state, &[(Lane::Live, 5)]).remove(0).segment;
    let mut copies = Copies::default();
    copies.refuse(&mut state, "a", &Refused { segment, reason: "no".into() });
    (state, copies)
}

#[test]
fn a_copy_that_goes_before_it_was_written_costs_nothing() {
    let folder = folder();
    let (mut state, mut copies) = refused(folder.path());
    assert!(copies.coming() > 0);
    assert_eq!(copies.drop_kept(&mut state, "a", 1, 5), 5);
    assert_eq!(copies.coming(), 0);
    assert_eq!(state.aggregates().quarantine("a").discarded.intervals(), [(1, 5)]);
}

#[tokio::test]
async fn an_order_is_answered_when_its_last_part_is_durable() {
    let folder = folder();
    let (mut state, mut copies) = refused(folder.path());
    let mut orders = Orders::default();
    let order = |command| QuarantineOrder { command, sink: None, numbers: None };
    let (asker, mut answered) = oneshot::channel();
    assert!(orders.take(&state, &order(QuarantineCommand::Replay), asker));
    let (asker, busy) = oneshot::channel();
    assert!(!orders.take(&state, &order(QuarantineCommand::Drop), asker));
    assert_eq!(busy.await.expect("answered"), Err(Declined::Busy));
    orders.apply_part(&mut state, &mut copies);
    assert!(answered.try_recv().is_err());
    orders.committed(None);
    let done = vec![Done { sink: "a".into(), readings: 5 }];
    assert_eq!(answered.await.expect("answered"), Ok(done));
    assert!(!orders.is_underway());
    assert_eq!(state.aggregates().quarantine("a").replayed.intervals(), [(1, 5)]);
}
