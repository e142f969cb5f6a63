//! A log that the storage gives back changed: any bytes of the file and its journal.
//!
//! Invariants checked: the log opens or says why it does not, without a panic; its ledger balances;
//! every reading it still offers is one that was written, under its own number, once and in order
//! within its lane; it takes another reading, commits it and offers it.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use outstation::clock::Clock;
use outstation::config::EventLog;
use outstation::event_log::actor::LogActor;
use outstation::event_log::settings::{LogConfig, SinkRules};
use outstation::event_log::{Append, Ask, Limits, LogHandle, LogStatus, Acknowledgement, channel};
use outstation::supervisor::heartbeat::Heartbeat;
use outstation_codec::{Channel, Lane, Sensor, Stamp, Value, ValueType};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const SECOND: Duration = Duration::from_secs(1);
const NOW: i64 = 1_800_000_000_000;
const ALL: Ask = Ask {
    lanes: &[Lane::Alarm, Lane::Live, Lane::Backfill],
    limits: Limits { readings_max: u64::MAX, bytes_max: usize::MAX },
};
/// Readings of one commit; half of the commits stand in the file, half in the journal.
const GROUP: u64 = 10;
const COMMITS: u64 = 20;
const SINK: &str = "a";

fuzz_target!(|mutations: &[u8]| {
    static SEED: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let mut files = SEED.get_or_init(seed).clone();
    for mutation in mutations.chunks_exact(6) {
        mutate(&mut files, mutation);
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("log.db"), &files[0]).expect("written");
    std::fs::write(folder.path().join("log.db-wal"), &files[1]).expect("written");
    runtime().block_on(examine(folder.path()));
});

/// Which file, where, what to do there and with what.
fn mutate(files: &mut [Vec<u8>; 2], mutation: &[u8]) {
    let [how, at0, at1, at2, value, length] = mutation else { return };
    let file = &mut files[usize::from(how & 1)];
    if file.is_empty() {
        return;
    }
    let at = u32::from_le_bytes([*at0, *at1, *at2, 0]) as usize % file.len();
    let end = (at + usize::from(*length) * 16).min(file.len());
    match how >> 1 & 7 {
        0..=2 => file[at] ^= value,
        3 => file[at] = *value,
        4 => file[at..end].fill(*value),
        5 => file.truncate(at),
        6 => {
            // A page as another one.
            let from = (usize::from(*value) << 9) % file.len();
            let page = file[from..(from + 512).min(file.len())].to_vec();
            let at = at & !511;
            let count = page.len().min(file.len() - at);
            file[at..at + count].copy_from_slice(&page[..count]);
        }
        _ => file.extend(std::iter::repeat_n(*value, usize::from(*length))),
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

fn config(folder: &Path) -> LogConfig {
    let log = EventLog { path: folder.join("log.db"), max_bytes: 8 << 20, ..EventLog::default() };
    let sinks = vec![SinkRules::waited_for(SINK, true)];
    LogConfig { sinks, generation: (7, "fuzz"), ..LogConfig::new(&log, "d") }
}

/// A running log.
struct Rig {
    log: LogHandle,
    running: JoinSet<()>,
}

impl Rig {
    fn start(folder: &Path) -> Option<Self> {
        let actor = LogActor::open(config(folder), Clock::simulated("boot", NOW)).ok()?;
        let (log, mailbox) = channel();
        let mut running = JoinSet::new();
        running.spawn(async {
            let ended = actor.run(Arc::new(Mutex::new(mailbox)), Heartbeat::unwatched()).await;
            ended.expect("storage that lies breaks no invariant");
        });
        Some(Self { log, running })
    }

    /// Ends it, after a last commit; a panic in it becomes ours.
    async fn end(mut self) {
        drop(self.log);
        self.running.join_next().await.expect("running").expect("no panic");
    }

    /// The readings say their numbers.
    async fn append(&self, first: u64, count: u64) {
        let channels = vec![Channel { name: "n".into(), unit: "".into(), kind: ValueType::Int }];
        let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels });
        let mut append = Append { port: "p".into(), ..Append::default() };
        for n in first..first + count {
            let value = Value::Int(i64::try_from(n).expect("small"));
            append.readings.push(&sensor, Stamp::boot(0), [(0, value)]);
        }
        (append.intake.accepted, append.intake.frames) = (count, count);
        self.log.appender().permit().await.expect("open").send(append);
        self.settled(|status| status.ledger.uncommitted == 0 && status.head >= first).await;
    }

    async fn settled(&self, good: impl Fn(&LogStatus) -> bool) -> LogStatus {
        let mut status = self.log.status();
        let waiting = tokio::time::timeout(SECOND * 3600, status.wait_for(good));
        waiting.await.expect("in time").expect("open").clone()
    }

    /// All that is offered: number and value, in the order of the numbers.
    async fn take_all(&self) -> Vec<(u64, u64)> {
        let reader = self.log.reader(SINK);
        let mut found = Vec::new();
        let mut last_of_lane = BTreeMap::new();
        while let Some(batch) = reader.next(ALL).await.expect("open") {
            let last = last_of_lane.entry(batch.lane).or_insert(0);
            let visited = batch.for_each(|dated| {
                let [(_, Value::Int(n))] = dated.reading.cells else {
                    panic!("nobody said {:?}", dated.reading);
                };
                assert!(dated.reading.seq > *last, "out of order in its lane");
                *last = dated.reading.seq;
                found.push((dated.reading.seq, n.unsigned_abs()));
            });
            visited.expect("what is offered is sound");
            reader.acknowledge(Acknowledgement::of(&batch)).await.expect("open");
        }
        found.sort_unstable();
        found
    }
}

/// The file and its journal as a killed daemon leaves them.
fn seed() -> [Vec<u8>; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect("readable");
    runtime().block_on(async {
        let mut rig = Rig::start(folder.path()).expect("a new log opens");
        for commit in 0..COMMITS {
            if commit == COMMITS / 2 {
                rig.end().await;
                rig = Rig::start(folder.path()).expect("it opens again");
            }
            rig.append(commit * GROUP + 1, GROUP).await;
        }
        [file("log.db"), file("log.db-wal")]
    })
}

async fn examine(folder: &Path) {
    let Some(rig) = Rig::start(folder) else { return };
    let status = rig.settled(|status| status.accepting).await;
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
    let found = rig.take_all().await;
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "a number is offered once: {found:?}");
    let invented = found.iter().find(|(seq, n)| seq != n || *seq > GROUP * COMMITS);
    assert_eq!(invented, None);
    let next = rig.settled(|_| true).await.head + 1;
    rig.append(next, 1).await;
    assert_eq!(rig.take_all().await.last(), Some(&(next, next)));
    let after = rig.settled(|_| true).await;
    assert_eq!(after.ledger.imbalances(), Vec::<String>::new());
    rig.end().await;
}
