//! The settings of the log, which it gets when it starts and when the configuration changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use outstation_codec::Lane;

use crate::config::EventLog;
use crate::domain::policy::lanes::LanePolicy;

/// What the log's actor needs to know. The configuration documents what each setting means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub device: String,
    pub path: PathBuf,
    pub commit_interval: Intervals,
    pub commit_readings: usize,
    pub bytes_max: u64,
    /// By sink: how many of the readings it refuses are kept. A sink that is missing here keeps none.
    pub quarantine_readings: BTreeMap<String, u64>,
    pub retain_delivered: bool,
    pub sinks: Vec<SinkRules>,
    /// The digest of the effective configuration, and the version of the program.
    pub generation: (u32, &'static str),
}

/// The rules of the log for one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkRules {
    pub name: String,
    /// Whether the sink takes the published events.
    pub events: bool,
    /// Whether readings may leave the log before the sink has them.
    pub best_effort: bool,
    pub lanes: LanePolicy,
}

impl SinkRules {
    /// A sink that is waited for, with every other rule at its default.
    pub fn waited_for(name: &str, events: bool) -> Self {
        let lanes = LanePolicy::default();
        Self { name: name.to_owned(), events, best_effort: false, lanes }
    }
}

impl LogConfig {
    /// The settings of a log that no sink reads, from the section `[log]` of a configuration, whose
    /// defaults are therefore the log's own. The caller adds `sinks` and `quarantine_readings` if there are
    /// readers, and the `generation` in a daemon.
    pub fn new(log: &EventLog, device: &str) -> Self {
        Self {
            device: device.to_owned(),
            path: log.path.clone(),
            commit_interval: Intervals {
                alarm: log.alarm_commit_interval,
                live: log.commit_interval,
                backfill: log.backfill_commit_interval.unwrap_or(log.commit_interval),
            },
            commit_readings: log.commit_readings,
            bytes_max: log.max_bytes,
            quarantine_readings: BTreeMap::new(),
            retain_delivered: log.retain_delivered,
            sinks: Vec::new(),
            generation: (0, env!("CARGO_PKG_VERSION")),
        }
    }

    pub(super) fn rules(&self, sink: &str) -> Option<&SinkRules> {
        self.sinks.iter().find(|rules| rules.name == sink)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.those(|_| true)
    }

    pub(super) fn take_events(&self) -> Vec<String> {
        self.those(|rules| rules.events)
    }

    /// The sinks that readings are kept for until they have them. If all sinks are best-effort, all are
    /// waited for while there is room, since deleting readings that no sink has would help none of them.
    pub(super) fn waited_for(&self) -> Vec<String> {
        let all = self.sinks.iter().all(|rules| rules.best_effort);
        self.those(|rules| all || !rules.best_effort)
    }

    /// The sinks that do not get readings which left the log before they had them.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let waited_for = self.waited_for();
        self.those(|rules| !waited_for.contains(&rules.name))
    }

    fn those(&self, which: impl Fn(&SinkRules) -> bool) -> Vec<String> {
        let chosen = self.sinks.iter().filter(|rules| which(rules));
        chosen.map(|rules| rules.name.clone()).collect()
    }
}

/// How long readings may wait for their commit, by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    pub alarm: Duration,
    pub live: Duration,
    pub backfill: Duration,
}

impl Intervals {
    pub(super) fn of(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Alarm => self.alarm,
            Lane::Live => self.live,
            Lane::Backfill => self.backfill,
        }
    }

    /// How long acknowledgements, and intake without readings, may wait to be part of a commit, because
    /// every commit costs flash. A power cut in that time repeats a delivery or forgets some fault counts.
    pub(super) fn deferred(&self) -> Duration {
        self.live * 10
    }
}
