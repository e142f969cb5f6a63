//! What the log is given when it starts, and when the configuration changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use outstation_codec::Lane;

use crate::config::EventLog;
use crate::domain::policy::lanes::LanePolicy;

/// What the actor needs to know; see the configuration for the meaning of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub device: String,
    pub path: PathBuf,
    pub commit_interval: Intervals,
    pub commit_readings: usize,
    pub bytes_max: u64,
    /// By sink: so many readings that it refuses are kept aside; none of a sink that is not here.
    pub quarantine_readings: BTreeMap<String, u64>,
    pub retain_delivered: bool,
    pub sinks: Vec<SinkRules>,
    /// Of the effective configuration, and the version of the program.
    pub generation: (u32, &'static str),
}

/// What the log holds to for one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkRules {
    pub name: String,
    /// Whether it takes the published events.
    pub events: bool,
    /// Whether readings may leave before it has them.
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
    /// The settings of a log that no sink reads: section `[log]` of a configuration, whose defaults are
    /// therefore the log's own. A log that is read also takes `sinks` and `quarantine_readings`, one that
    /// belongs to a daemon its `generation`.
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

    /// The sinks whose readings stay until they have them. Where all are best-effort, all are waited for
    /// while there is room: to delete what nobody has, only because nobody insists on it, would serve no
    /// one.
    pub(super) fn waited_for(&self) -> Vec<String> {
        let all = self.sinks.iter().all(|rules| rules.best_effort);
        self.those(|rules| all || !rules.best_effort)
    }

    /// The sinks that have to do without what left before they had it.
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

    /// Acknowledgements and intake without readings can wait this long for company: a power cut then
    /// repeats a delivery or forgets some fault counts, and every commit costs flash.
    pub(super) fn deferred(&self) -> Duration {
        self.live * 10
    }
}
