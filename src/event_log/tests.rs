//! The log as its users see it: with tokio's paused clock and a real SQLite file.

mod aggregates;
mod basics;
mod bounds;
mod lanes;
mod lanes_model;
mod merging;
mod model;
mod opening;
mod orders;
mod parts;
mod plans;
mod quarantine;
mod replays;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outstation_codec::{Batch, Channel, Dated, Lane, Loss, Sensor, Stamp, Value, ValueType};

use super::actor::LogActor;
use super::settings::{LogConfig, SinkRules};
use super::store::error::StorageError;
use super::*;
use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::ledger::Intake;
use crate::supervisor::heartbeat::{Heartbeat, Liveness};
use crate::test_kit::log::{TestLog, settings};

const NOW: i64 = 1_800_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const LANES: &[Lane] = &[Lane::Alarm, Lane::Live, Lane::Backfill];
const ALL: Ask =
    Ask { lanes: LANES, limits: Limits { readings_max: u64::MAX, bytes_max: usize::MAX } };

fn config(folder: &Path, sinks: &[&str]) -> LogConfig {
    LogConfig { commit_readings: 100, ..settings(folder, sinks) }
}

/// A log, with what these tests do to it.
struct Rig(TestLog);

impl Deref for Rig {
    type Target = TestLog;

    fn deref(&self) -> &TestLog {
        &self.0
    }
}

impl Rig {
    fn start(folder: &Path, sinks: &[&str]) -> Self {
        Self::try_start(config(folder, sinks)).expect("the log opens")
    }

    fn try_start(config: LogConfig) -> Result<Self, StorageError> {
        TestLog::try_start(config, Clock::simulated("boot", NOW)).map(Self)
    }

    /// A log with sink `a`, whose progress liveness shows.
    fn watched(folder: &Path, clock: Clock, liveness: &Liveness) -> Self {
        let (handle, mailbox) = channel();
        let actor = LogActor::open(config(folder, &["a"]), clock).expect("the log opens");
        Self(TestLog::run(actor, handle, mailbox, liveness.register("log")))
    }

    /// Appends readings with the values 0, 1, 2 …
    async fn append(&self, count: i64) {
        self.append_to(Lane::Live, (0..count).map(Value::Int)).await;
    }

    /// Appends readings that do not compress, of eight bytes each.
    async fn append_noise(&self, count: usize) {
        let mut rng = fastrand::Rng::with_seed(7);
        let noise = (0..count).map(|_| Value::F64(f64::from_bits(rng.u64(1 << 62..))));
        self.append_to(Lane::Live, noise).await;
    }

    async fn append_to(&self, lane: Lane, values: impl Iterator<Item = Value>) {
        self.0.append(lane, values).await;
    }

    /// Acknowledges everything pending for the sink and returns it as (number, value), by number.
    async fn drain(&self, sink: &str) -> Vec<(u64, i64)> {
        let mut all = Vec::new();
        while let Some(batch) = self.handle.reader(sink).next(ALL).await.expect("open") {
            let one = |dated: Dated<'_>| match dated.reading.cells {
                [(0, Value::Int(value))] => all.push((dated.reading.seq, *value)),
                other => panic!("{other:?}"),
            };
            batch.for_each(one).expect("sound");
            let receipt = Acknowledgement::of(&batch);
            self.handle.reader(sink).acknowledge(receipt).await.expect("open");
        }
        all.sort_unstable();
        all
    }

    /// Waits until everything appended is stored.
    async fn stored(&self, head: u64) -> LogStatus {
        let mut status = self.handle.status();
        status.wait_for(|status| status.head == head).await.expect("open").clone()
    }

    /// Stores three segments of ten readings.
    async fn store_thirty(&self) {
        for head in [10, 20, 30] {
            self.append(10).await;
            self.stored(head).await;
        }
    }

    async fn next(&self, sink: &str) -> Option<(u64, u64)> {
        let batch = self.handle.reader(sink).next(ALL).await.expect("open")?;
        (!batch.segments.is_empty()).then(|| (batch.first_seq(), batch.last_seq()))
    }

    async fn acknowledge(&self, sink: &str, first: u64, last: u64) {
        let receipt = Acknowledgement { readings: vec![(first, last)], events: None };
        self.handle.reader(sink).acknowledge(receipt).await.expect("open");
    }

    async fn end(self) -> LogStatus {
        self.0.end().await
    }

    async fn kill(self) {
        self.0.kill().await;
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
