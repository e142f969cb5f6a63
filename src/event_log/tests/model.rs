//! The log against a plain vector, over random histories of appends, commits, deliveries, evictions,
//! clean restarts and crashes.
//!
//! Invariants checked: readings that were reported as stored are there with their values and numbers until
//! they are delivered to every sink or counted as evicted; a crash loses nothing that was stored and
//! invents nothing; a sink is never offered a number past one that is still pending for it; the ledger
//! balances after every step.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SINKS: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Waits until everything appended is stored.
    Store,
    Deliver(usize),
    /// An offer that is never answered.
    Offer(usize),
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..400).prop_map(Step::Append),
        3 => Just(Step::Store),
        2 => (0usize..2).prop_map(Step::Deliver),
        1 => (0usize..2).prop_map(Step::Offer),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

/// The value of the reading appended as number `n`; such values do not compress.
fn value(n: u64) -> f64 {
    f64::from_bits((n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2) | 1 << 61)
}

struct Model {
    folder: tempfile::TempDir,
    rig: Option<Rig>,
    /// How many readings were ever appended.
    appended: u64,
    /// The reading with number `seq` was the one appended as `numbered[seq - 1]`.
    numbered: Vec<u64>,
    /// Readings that were appended and not reported as stored.
    waiting: Vec<u64>,
    acknowledged: [BTreeSet<u64>; 2],
}

impl Model {
    fn config(folder: &Path) -> LogConfig {
        // There is room for some two thousand readings.
        let bytes_max = crate::event_log::store::space::bounds(0).reserved + 24 * 1024;
        LogConfig { bytes_max, ..config(folder, &SINKS) }
    }

    fn new() -> Self {
        let folder = folder();
        let rig = Rig::try_start(Self::config(folder.path())).expect("the log opens");
        let acknowledged = Default::default();
        let (numbered, waiting) = (Vec::new(), Vec::new());
        Self { folder, rig: Some(rig), appended: 0, numbered, waiting, acknowledged }
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("running")
    }

    async fn reopen(&mut self) {
        self.rig = Some(Rig::try_start(Self::config(self.folder.path())).expect("reopens"));
        let mut status = self.rig().handle.status();
        let head = status.wait_for(|status| status.accepting).await.expect("open").head;
        self.take_stored(head);
        self.waiting.clear();
    }

    /// Records that the log reports numbers up to `head` as stored.
    fn take_stored(&mut self, head: u64) {
        let stored = self.numbered.len() as u64;
        assert!(head >= stored, "what was stored is gone: {stored} were, {head} are");
        let new = usize::try_from(head - stored).expect("few");
        assert!(new <= self.waiting.len(), "{new} of {} were invented", self.waiting.len());
        self.numbered.extend(self.waiting.drain(..new));
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append(count) => {
                let numbers = self.appended + 1..=self.appended + count as u64;
                self.appended += count as u64;
                let values = numbers.clone().map(|number| Value::F64(value(number)));
                self.rig().append_to(Lane::Live, values).await;
                self.waiting.extend(numbers);
            }
            Step::Store => {
                let head = (self.numbered.len() + self.waiting.len()) as u64;
                self.rig().stored(head).await;
                self.take_stored(head);
            }
            Step::Deliver(sink) => drop(self.deliver(sink, true).await),
            Step::Offer(sink) => drop(self.deliver(sink, false).await),
            Step::Restart => {
                let last = self.rig.take().expect("running").end().await;
                self.take_stored(last.head);
                assert!(self.waiting.is_empty(), "a clean end stores everything");
                self.reopen().await;
            }
            Step::Crash => {
                let rig = self.rig.take().expect("running");
                let head = rig.handle.status().borrow().head;
                rig.kill().await;
                self.take_stored(head);
                self.reopen().await;
            }
        }
        let status = self.rig().handle.status().borrow().clone();
        assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
    }

    /// Takes one batch and compares it with the model. Returns false if there was none.
    async fn deliver(&mut self, sink: usize, acknowledged: bool) -> bool {
        let reader = self.rig().handle.reader(SINKS[sink]);
        let limits = Limits { readings_max: 500, bytes_max: usize::MAX };
        let Some(batch) = reader.next(Ask { lanes: LANES, limits }).await.expect("open") else {
            return false;
        };
        let head = self.rig().handle.status().borrow().head;
        self.take_stored(head.max(self.numbered.len() as u64));
        let mut offered = BTreeSet::new();
        batch
            .for_each(|dated| {
                let seq = dated.reading.seq;
                let appended = self.numbered[usize::try_from(seq).expect("few") - 1];
                let [(0, Value::F64(found))] = dated.reading.cells else { panic!("{dated:?}") };
                assert_eq!(found.to_bits(), value(appended).to_bits(), "number {seq}");
                assert!(offered.insert(seq), "number {seq} twice");
            })
            .expect("sound");
        if let Some(first) = offered.first() {
            let missing = (1..*first).filter(|seq| !self.acknowledged[sink].contains(seq));
            let evicted = self.rig().handle.status().borrow().ledger.lost(Loss::Evicted);
            assert!(missing.count() as u64 <= evicted, "passed by what is pending, before {first}");
        }
        if acknowledged {
            reader.acknowledge(Acknowledgement::of(&batch)).await.expect("open");
            self.acknowledged[sink].extend(offered);
        }
        true
    }

    /// Delivers everything and accounts for every reading.
    async fn finish(mut self) {
        self.take(Step::Store).await;
        for sink in 0..SINKS.len() {
            while self.deliver(sink, true).await {}
        }
        let last = self.rig.take().expect("running").end().await;
        let delivered = self.acknowledged[0].intersection(&self.acknowledged[1]).count() as u64;
        assert_eq!(last.ledger.stored, self.numbered.len() as u64);
        assert_eq!((last.ledger.pending, last.ledger.damaged), (0, 0));
        assert_eq!(last.ledger.delivered + last.ledger.evicted, last.ledger.stored);
        assert!(last.ledger.delivered <= delivered, "delivered are only those that were");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_plain_vector(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new();
            for step in steps {
                model.take(step).await;
            }
            model.finish().await;
        });
    }
}
