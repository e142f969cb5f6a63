//! What the log is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::batch::Lane;

/// What the actor needs to know; see the configuration for the meaning of each.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub device: String,
    pub path: PathBuf,
    pub commit_interval: Intervals,
    pub commit_readings: usize,
    pub bytes_max: u64,
    pub retain_delivered: bool,
    pub sinks: Vec<String>,
    /// Those of them that are told the events.
    pub told: Vec<String>,
    /// Of the effective configuration, and the version of the program.
    pub generation: (u32, &'static str),
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
    pub(super) fn settle(&self) -> Duration {
        self.live * 10
    }
}
