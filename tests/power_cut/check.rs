//! Puts what a cut left into the log's own folder, opens it, and holds it to every promise.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outstation::clock::Clock;
use outstation::domain::model::interval_set::IntervalSet;
use outstation::domain::policy::lanes::{LanePolicy, Order};
use outstation::event_log::actor::LogActor;
use outstation::event_log::settings::{Intervals, LogConfig, SinkRules};
use outstation::event_log::{Acknowledgement, Append, Ask, Limits, LogHandle, LogStatus, channel};
use outstation::supervisor::heartbeat::Heartbeat;
use outstation_codec::{Channel, Lane, Sensor, Stamp, Value, ValueType};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::medium::Image;
use crate::record::{INTERVAL, Recording, SINK};
use crate::sensor::text;
use crate::upstream::Content;

/// A date, so that the clock counts as set.
const NOW: i64 = 1_800_000_000_000;
const PATIENCE: Duration = Duration::from_secs(3600); // on the stepped clock
const ALL: Ask = Ask {
    lanes: &[Lane::Alarm, Lane::Live, Lane::Backfill],
    limits: Limits { readings_max: u64::MAX, bytes_max: usize::MAX },
};

/// What must be true after a cut at one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The last number that a commit had promised.
    pub(crate) promised: u64,
    /// The last that the sensor had begun to send.
    pub(crate) started: u64,
    /// The last that the sensor had sent so long ago that the daemon must have it.
    pub(crate) overdue: u64,
    /// The epoch; none if no log had opened yet.
    pub(crate) epoch: Option<u64>,
    /// Whether it goes on.
    pub(crate) continuity: Continuity,
    /// The last number that the receiver had been offered in that epoch.
    pub(crate) offered: u64,
    /// What the receiver had taken.
    pub(crate) received: IntervalSet,
    /// What it had been told was evicted.
    pub(crate) evicted: IntervalSet,
    /// Whether the device goes on without having booted: a killed process, not a power cut.
    pub(crate) same_boot: bool,
}

/// Whether the epoch goes on after a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It must: nothing that was written is lost.
    Kept,
    /// It must not: it cannot be proved that the numbers to come were never given out.
    Anew,
    #[default]
    Either,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) new_epoch: bool,
}

/// The folder of the recording, into which images are put one after the other. A log knows its file
/// by inode and birth, so the one that was recorded is written over and never replaced.
#[derive(Debug)]
pub(crate) struct Bench {
    folder: PathBuf,
    originals: PathBuf,
    /// Which file of the medium the original is.
    file: usize,
    length: usize,
    bytes_max: u64,
    boot_id: String,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Takes the folder over. The recording's log must stand in it.
    pub(crate) fn new(recording: &Recording, file: usize) -> Self {
        let (folder, originals) = (recording.folder.join("log"), recording.folder.join("original"));
        if !originals.exists() {
            fs::hard_link(folder.join("log.db"), &originals).expect("keep the file");
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let boot_id = recording.boot_id.clone();
        let (length, bytes_max) = (recording.length, recording.bytes_max);
        Self { folder, originals, file, length, bytes_max, boot_id, runtime }
    }

    /// Makes the folder look like this.
    pub(crate) fn lay_out(&self, image: &Image) {
        for entry in fs::read_dir(&self.folder).expect("a folder") {
            fs::remove_file(entry.expect("an entry").path()).expect("remove a file");
        }
        for (name, rebuilt) in image {
            let path = self.folder.join(name);
            if name == "log.db" && rebuilt.file == self.file {
                fs::hard_link(&self.originals, &path).expect("put the file back");
            }
            fs::write(&path, &rebuilt.bytes).expect("write a file");
        }
    }

    /// Everything that is wrong with the log that this image is; or what came of opening it.
    pub(crate) fn check(
        &self,
        image: &Image,
        expected: &Expected,
        truth: &BTreeMap<u64, u64>,
    ) -> Result<Outcome, String> {
        self.lay_out(image);
        let checked =
            catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(self.open(expected, truth))));
        for entry in fs::read_dir(&self.folder).expect("a folder") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            require(!name.contains(".damaged") && !name.contains(".salvage"), || {
                format!("`{name}` is there: a cut was taken for damage")
            })?;
        }
        checked.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("it panicked: {}", said.or(panic.downcast_ref().copied()).unwrap_or("?")))
        })
    }

    async fn open(
        &self,
        expected: &Expected,
        truth: &BTreeMap<u64, u64>,
    ) -> Result<Outcome, String> {
        let boot = if expected.same_boot { &self.boot_id } else { "after-the-cut" };
        let config = config(&self.folder, self.bytes_max);
        let actor = LogActor::open(config, Clock::simulated(boot, NOW))
            .map_err(|error| format!("it does not open: {error:?}"))?;
        let (log, mailbox) = channel();
        let mut running = JoinSet::new();
        running.spawn(actor.run(Arc::new(Mutex::new(mailbox)), Heartbeat::unwatched()));
        let outcome = self.examine(&log, expected, truth).await;
        drop(log);
        match running.join_next().await {
            Some(Ok(Ok(()))) => outcome,
            ended => Err(format!("the log ended: {ended:?}")),
        }
    }

    async fn examine(
        &self,
        log: &LogHandle,
        expected: &Expected,
        truth: &BTreeMap<u64, u64>,
    ) -> Result<Outcome, String> {
        let status = settled(log, |status| status.accepting).await?;
        let outcome = judge(&status, expected)?;
        let found = self.take_all(log).await?;
        account(&status, &found, expected, truth)?;
        self.resume(log, &status).await?;
        Ok(outcome)
    }

    /// Everything that is pending, acknowledged batch by batch.
    async fn take_all(&self, log: &LogHandle) -> Result<Content, String> {
        let reader = log.reader(SINK);
        let mut all = Content::default();
        while let Some(batch) = reader.next(ALL).await.map_err(|error| error.to_string())? {
            let content = Content::of(&batch, self.length)?;
            all.readings.extend(content.readings);
            all.evicted.extend(content.evicted);
            reader
                .acknowledge(Acknowledgement::of(&batch))
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(all)
    }

    /// One more reading is taken, committed and offered under the next number.
    async fn resume(&self, log: &LogHandle, status: &LogStatus) -> Result<(), String> {
        const N: u64 = 1 << 40;
        let channel = |name: &str, kind| Channel { name: name.into(), unit: String::new(), kind };
        let channels = vec![channel("n", ValueType::Int), channel("x", ValueType::Text)];
        let sensor = Arc::new(Sensor { port: "after".into(), name: "after".into(), channels });
        let mut append = Append { port: "after".into(), ..Append::default() };
        let cells = [Value::Int(1 << 40), Value::Text(text(N, self.length).into())];
        append.readings.push(&sensor, Stamp::boot(1), (0..).zip(cells));
        (append.intake.accepted, append.intake.frames) = (1, 1);
        log.appender().permit().await.map_err(|error| error.to_string())?.send(append);
        let next = status.head + 1;
        let after = settled(log, |status| status.head == next).await?;
        require(after.ledger.imbalances().is_empty(), || {
            format!("after the next commit: {:?}", after.ledger.imbalances())
        })?;
        let found = self.take_all(log).await?;
        require(found.readings == [(next, N)], || {
            format!("the next reading, {next}, is offered as {:?}", found.readings)
        })
    }
}

pub(crate) fn config(folder: &Path, bytes_max: u64) -> LogConfig {
    let in_order = LanePolicy { order: Order::AsStored, ..LanePolicy::default() };
    LogConfig {
        device: "site".into(),
        path: folder.join("log.db"),
        commit_interval: Intervals { alarm: Duration::ZERO, live: INTERVAL, backfill: INTERVAL },
        commit_readings: 16_384,
        bytes_max,
        quarantine_readings: BTreeMap::new(),
        retain_delivered: false,
        // Fresh readings would overtake; here they are looked at in the order of their numbers.
        sinks: vec![SinkRules { lanes: in_order, ..SinkRules::waited_for(SINK, true) }],
        generation: (7, "test"),
    }
}

async fn settled(
    log: &LogHandle,
    good: impl FnMut(&LogStatus) -> bool,
) -> Result<LogStatus, String> {
    let mut status = log.status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(good)).await;
    let settled = match waited {
        Ok(Ok(status)) => Some(status.clone()),
        _ => None,
    };
    settled.ok_or_else(|| format!("it does not settle: {:?}", log.status().borrow()))
}

fn require(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

/// What the status alone tells.
fn judge(status: &LogStatus, expected: &Expected) -> Result<Outcome, String> {
    let LogStatus { head, epoch, ledger, .. } = status;
    require(ledger.imbalances().is_empty(), || format!("{:?}", ledger.imbalances()))?;
    require(ledger.damaged == 0, || format!("{} readings count as damaged", ledger.damaged))?;
    require(*head >= expected.promised, || {
        format!("the last number is {head}, and {} was promised", expected.promised)
    })?;
    let new_epoch = expected.epoch.is_some_and(|before| before != *epoch);
    let wrong = match expected.continuity {
        Continuity::Kept if new_epoch => Some("a new epoch, and nothing was lost"),
        Continuity::Anew if !new_epoch && expected.epoch.is_some() => {
            Some("the epoch goes on, and its next numbers may have been given out")
        }
        _ => None,
    };
    wrong.map_or(Ok(()), |wrong| Err(wrong.to_owned()))?;
    require(new_epoch || *head >= expected.offered, || {
        format!("the last number is {head}, and {} was offered in this epoch", expected.offered)
    })?;
    Ok(Outcome { new_epoch })
}

/// Each number up to the head: pending with its true value, received, or evicted.
fn account(
    status: &LogStatus,
    found: &Content,
    expected: &Expected,
    truth: &BTreeMap<u64, u64>,
) -> Result<(), String> {
    let LogStatus { head, ledger, .. } = status;
    let mut accounted = expected.received.clone();
    let mut evicted = expected.evicted.clone();
    for (first, last) in &found.evicted {
        evicted.insert(*first, *last);
        accounted.insert(*first, *last);
    }
    for (first, last) in expected.evicted.intervals() {
        accounted.insert(*first, *last);
    }
    let mut before = 0;
    for (seq, n) in &found.readings {
        require(*seq > before && seq <= head, || format!("number {seq} comes after {before}"))?;
        require(truth.get(seq) == Some(n), || {
            format!("number {seq} is reading {n}, and was {:?}", truth.get(seq))
        })?;
        require(*n <= expected.started, || format!("reading {n} is there, and was not sent yet"))?;
        before = *seq;
        accounted.insert(*seq, *seq);
    }
    let missing = if *head > 0 { accounted.missing(1, *head) } else { Vec::new() };
    require(missing.is_empty(), || format!("of {head} numbers, these are gone: {missing:?}"))?;
    let pending = found.readings.len() as u64;
    require(pending == ledger.pending, || {
        format!("{pending} readings are offered, and {} are pending", ledger.pending)
    })?;
    require(ledger.evicted <= evicted.count(), || {
        format!("{} count as evicted, and {} were said to be", ledger.evicted, evicted.count())
    })?;
    // The numbers of the sensor rise with ours, so the last one says how far the log goes.
    let last = if *head == 0 { Some(&0) } else { truth.get(head) };
    require(last.is_some_and(|last| *last >= expected.overdue), || {
        format!("the log ends at reading {last:?}, and had long been sent {}", expected.overdue)
    })
}
