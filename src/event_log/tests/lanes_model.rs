//! The lanes of a sink against plain sets, over random appends, waits, requests and answers.
//!
//! Invariants checked: what is offered is stored in that lane, under its number, and was not acknowledged
//! before; all that was not acknowledged is offered again; a lane leaves no reading out in the middle;
//! fresh readings go before the backlog; alarms go before everything; a sink that takes everything in the
//! order of the log is given exactly the next numbers; in the end every sink has everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::policy::lanes::{LanePolicy, Order};

const SINKS: [(&str, Order); 2] = [("a", Order::LiveFirst), ("b", Order::AsStored)];
const ASKS: [&[Lane]; 4] =
    [LANES, &[Lane::Alarm, Lane::Backfill, Lane::Live], &[Lane::Live], &[Lane::Alarm]];

#[derive(Clone, Debug)]
enum Step {
    /// Readings of a lane and alarms in one message, and their commit.
    Commit(Lane, usize, usize),
    /// This many seconds in which nothing happens.
    Wait(u64),
    /// A sink asks for lanes and at most this many readings, and acknowledges one in so many.
    Ask {
        sink: usize,
        ask: usize,
        most: u64,
        every: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop_oneof![3 => Just(Lane::Live), 1 => Just(Lane::Backfill)];
    prop_oneof![
        6 => (lane, 0usize..6, prop_oneof![3 => Just(0usize), 1 => 1usize..3])
            .prop_map(|(lane, readings, alarms)| Step::Commit(lane, readings, alarms)),
        2 => (1u64..30).prop_map(Step::Wait),
        6 => (0usize..2, 0usize..4, prop_oneof![1u64..12, Just(u64::MAX)], 0u64..4)
            .prop_map(|(sink, ask, most, every)| Step::Ask { sink, ask, most, every }),
        1 => Just(Step::Restart),
    ]
}

struct Model {
    folder: tempfile::TempDir,
    rig: Option<Rig>,
    /// By number: the lane in which the reading was stored.
    stored: BTreeMap<u64, Lane>,
    pending: [BTreeSet<u64>; 2],
    /// By number: when the latest readings were stored.
    at: BTreeMap<u64, tokio::time::Instant>,
}

impl Model {
    fn config(folder: &Path) -> LogConfig {
        let rules = SINKS.map(|(name, order)| SinkRules {
            lanes: LanePolicy { order, ..LanePolicy::default() },
            ..SinkRules::waited_for(name, false)
        });
        LogConfig { sinks: rules.into(), ..config(folder, &[]) }
    }

    fn new() -> Self {
        let folder = folder();
        let rig = Rig::try_start(Self::config(folder.path())).expect("the log opens");
        let (stored, at, pending) = Default::default();
        Self { folder, rig: Some(rig), stored, pending, at }
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("running")
    }

    async fn opened(&self) {
        let mut status = self.rig().handle.status();
        status.wait_for(LogStatus::is_opened).await.expect("running");
    }

    fn head(&self) -> u64 {
        self.stored.len() as u64
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Commit(lane, readings, alarms) => self.commit(lane, readings, alarms).await,
            Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Step::Ask { sink, ask, most, every } => {
                self.ask(sink, ASKS[ask], most, every).await;
            }
            Step::Restart => {
                self.rig.take().expect("running").end().await;
                self.rig = Some(Rig::try_start(Self::config(self.folder.path())).expect("reopens"));
                // The simulated clock begins anew with the restart.
                self.at.clear();
                self.opened().await;
            }
        }
        let status = self.rig().handle.status().borrow().clone();
        assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
        for (sink, pending) in SINKS.iter().zip(&self.pending) {
            assert_eq!(status.sinks[sink.0].pending, pending.len() as u64);
        }
    }

    /// Stores readings whose value is their number.
    async fn commit(&mut self, lane: Lane, readings: usize, alarms: usize) {
        let channels = vec![Channel { name: "t".into(), unit: "".into(), kind: ValueType::Int }];
        let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels });
        let mut append = Append { port: "p".into(), lane, ..Append::default() };
        let before = self.head();
        for place in 0..readings + alarms {
            let number = self.head() + 1;
            let alarm = place >= readings;
            let to = if alarm { &mut append.alarms } else { &mut append.readings };
            let value = i64::try_from(number).expect("few");
            to.push(&sensor, Stamp::boot(value), [(0, Value::Int(value))]);
            self.stored.insert(number, if alarm { Lane::Alarm } else { lane });
            for pending in &mut self.pending {
                pending.insert(number);
            }
        }
        append.intake.accepted = (readings + alarms) as u64;
        append.intake.frames = append.intake.accepted;
        self.rig().handle.appender().permit().await.expect("open").send(append);
        self.rig().stored(self.head()).await;
        let now = tokio::time::Instant::now();
        for number in before + 1..=self.head() {
            self.at.insert(number, now);
        }
    }

    /// Asks for readings, and returns whether any were offered.
    async fn ask(&mut self, sink: usize, lanes: &'static [Lane], most: u64, every: u64) -> bool {
        let reader = self.rig().handle.reader(SINKS[sink].0);
        let limits = Limits { readings_max: most, bytes_max: usize::MAX };
        let Some(batch) = reader.next(Ask { lanes, limits }).await.expect("open") else {
            self.check_nothing(sink, lanes);
            return false;
        };
        let mut offered = Vec::new();
        batch
            .for_each(|dated| {
                let [(0, Value::Int(value))] = dated.reading.cells else { panic!("{dated:?}") };
                assert_eq!(u64::try_from(*value), Ok(dated.reading.seq));
                offered.push(dated.reading.seq);
            })
            .expect("sound");
        assert!(offered.is_sorted_by(|a, b| a < b), "{offered:?}");
        assert!(
            offered.iter().all(|seq| self.pending[sink].contains(seq)),
            "{offered:?} is not pending"
        );
        for segment in &batch.segments {
            assert_eq!(Some(&segment.lane), self.stored.get(&segment.first_seq));
        }
        match SINKS[sink].1 {
            Order::AsStored => self.check_next(&self.pending[sink], |_| true, &offered),
            Order::LiveFirst => self.check_lane(sink, lanes, &batch, &offered, most),
        }
        for seq in offered.into_iter().filter(|seq| every > 0 && seq % every == 0) {
            reader
                .acknowledge(Acknowledgement { readings: vec![(seq, seq)], events: None })
                .await
                .expect("open");
            self.pending[sink].remove(&seq);
        }
        true
    }

    /// Checks that the readings offered are the next pending ones of a lane, from the first offered on,
    /// with none left out.
    fn check_next(&self, pending: &BTreeSet<u64>, of: impl Fn(Lane) -> bool, offered: &[u64]) {
        let run = pending.range(offered[0]..).filter(|seq| of(self.stored[seq]));
        let run: Vec<u64> = run.take(offered.len()).copied().collect();
        assert_eq!(run, offered);
    }

    fn check_lane(&self, sink: usize, lanes: &[Lane], batch: &Batch, offered: &[u64], most: u64) {
        let pending = &self.pending[sink];
        let alarms = || pending.iter().filter(|seq| self.stored[seq] == Lane::Alarm);
        if lanes[0] == Lane::Alarm {
            assert_eq!(batch.lane == Lane::Alarm, alarms().next().is_some(), "{offered:?}");
        }
        let first = pending.iter().next();
        match batch.lane {
            Lane::Alarm => {
                assert_eq!(Some(&offered[0]), alarms().next(), "the oldest alarm");
                self.check_next(pending, |lane| lane == Lane::Alarm, offered);
            }
            Lane::Live => {
                self.check_next(pending, |lane| lane != Lane::Backfill, offered);
                let newest = pending.iter().rev().find(|seq| self.stored[seq] != Lane::Backfill);
                assert!(most < u64::MAX || newest == offered.last(), "{offered:?}");
            }
            Lane::Backfill => {
                let only = self.stored[&offered[0]] == Lane::Backfill && first != offered.first();
                self.check_next(pending, |lane| !only || lane == Lane::Backfill, offered);
                assert!(only || first == offered.first(), "{offered:?}");
                let fresh = offered.iter().any(|seq| self.is_fresh(*seq));
                assert!(!fresh, "{offered:?} is not the backlog");
            }
        }
    }

    /// Says whether a reading is fresh in any case: stored as live or alarm, and within half the window.
    fn is_fresh(&self, seq: u64) -> bool {
        let at = self.at.get(&seq);
        self.stored[&seq] != Lane::Backfill
            && at.is_some_and(|at| at.elapsed() < Duration::from_secs(4))
    }

    fn check_nothing(&self, sink: usize, lanes: &[Lane]) {
        let mut pending = self.pending[sink].iter();
        match SINKS[sink].1 {
            Order::AsStored => assert!(lanes == [Lane::Alarm] || pending.next().is_none()),
            Order::LiveFirst if lanes.len() == 3 => assert!(pending.next().is_none()),
            Order::LiveFirst if lanes == [Lane::Alarm] => {
                assert!(pending.all(|seq| self.stored[seq] != Lane::Alarm));
            }
            Order::LiveFirst => assert!(pending.all(|seq| !self.is_fresh(*seq))),
        }
    }

    async fn finish(mut self) {
        for sink in 0..SINKS.len() {
            while self.ask(sink, LANES, u64::MAX, 1).await {}
        }
        assert_eq!(self.pending, [BTreeSet::new(), BTreeSet::new()]);
        let last = self.rig.take().expect("running").end().await;
        assert_eq!((last.ledger.delivered, last.ledger.pending), (self.stored.len() as u64, 0));
        assert_eq!(last.ledger.imbalances(), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn lanes_behave_like_plain_sets(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new();
            model.opened().await;
            for step in steps {
                model.take(step).await;
            }
            model.finish().await;
        });
    }
}
