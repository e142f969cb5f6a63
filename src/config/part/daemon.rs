//! The sections about the daemon itself: `[device]`, `[log]`, `[telemetry]`, `[supervisor]`.
//! Every key has a default; a file without these sections is complete.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{
    Kind, Names, boolean, bytes, choice, duration, integer, name, path,
};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::telemetry::{LogFilter, LogFormat};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// `None`: derived from the machine id.
    pub id: Option<String>,
}

impl Device {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("device.id", "derived from the machine id", "name of this board in every reading"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        Self { id: from.optional("id", &name(64)) }
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.section("[device]");
        match &self.id {
            Some(id) => to.text("id", id),
            None => to.unset("id", "derived from the machine id"),
        }
    }
}

/// The event log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub path: PathBuf,
    pub commit_interval: Duration,
    /// Of the lane `alarm`.
    pub alarm_commit_interval: Duration,
    /// Of the lane `backfill`. `None`: that of the others.
    pub backfill_commit_interval: Option<Duration>,
    pub commit_readings: usize,
    pub max_bytes: u64,
    pub retain_delivered: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/outstation/log.db"),
            commit_interval: Duration::from_secs(1),
            alarm_commit_interval: Duration::ZERO,
            backfill_commit_interval: None,
            commit_readings: 16_384,
            max_bytes: 256 << 20,
            retain_delivered: false,
        }
    }
}

impl Log {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("log.path", "\"/var/lib/outstation/log.db\"", "file of the event log"),
        key("log.commit_interval", "\"1s\"", "longest time before readings are committed; what a power cut may cost"),
        key("log.alarm_commit_interval", "\"0s\"", "the same for alarms; \"0s\" commits each at once"),
        key("log.backfill_commit_interval", "commit_interval holds", "the same for what may wait"),
        key("log.commit_readings", "16384", "commit earlier once this many readings wait"),
        key("log.max_bytes", "268435456", "most bytes the log takes on disk; when full, the oldest readings go"),
        key("log.retain_delivered", "false", "keep delivered readings for inspection while there is room"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        let default = Self::default();
        // Below 10 ms the flash wears for nothing; past an hour a power cut costs too much.
        let interval = duration(Duration::from_millis(10)..=Duration::from_secs(3600));
        let at_once = duration(Duration::ZERO..=Duration::from_secs(3600));
        Self {
            path: from.or("path", default.path, &path()),
            commit_interval: from.or("commit_interval", default.commit_interval, &interval),
            alarm_commit_interval: from.or(
                "alarm_commit_interval",
                default.alarm_commit_interval,
                &at_once,
            ),
            backfill_commit_interval: from.optional("backfill_commit_interval", &interval),
            // Half of what a segment can hold.
            commit_readings: from.or(
                "commit_readings",
                default.commit_readings,
                &integer(1..=32_768),
            ),
            // Below 8 MiB the journal and what is kept free for emergencies would be most of it.
            max_bytes: from.or("max_bytes", default.max_bytes, &bytes(8 << 20..=1 << 40)),
            retain_delivered: from.or("retain_delivered", default.retain_delivered, &boolean()),
        }
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.section("[log]");
        to.path("path", &self.path);
        to.duration("commit_interval", self.commit_interval);
        to.duration("alarm_commit_interval", self.alarm_commit_interval);
        match self.backfill_commit_interval {
            Some(interval) => to.duration("backfill_commit_interval", interval),
            None => to.unset("backfill_commit_interval", "commit_interval holds"),
        }
        to.bare("commit_readings", self.commit_readings);
        to.bare("max_bytes", self.max_bytes);
        to.bare("retain_delivered", self.retain_delivered);
    }
}

/// What the daemon says about itself, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    pub level: LogFilter,
    pub log_format: LogFormat,
}

const LOG_FORMATS: Names<LogFormat> = &[
    ("auto", LogFormat::Auto),
    ("journald", LogFormat::Journald),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

impl Telemetry {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("telemetry.level", "\"info\"", "least severe level logged, with exceptions by target"),
        key("telemetry.log_format", "\"auto\"", "where and how logs are written"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        let default = Self::default();
        let level = Kind::text(LogFilter::ALLOWED, |text| text.parse().ok());
        Self {
            level: from.or("level", default.level, &level),
            log_format: from.or("log_format", default.log_format, &choice(LOG_FORMATS)),
        }
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.section("[telemetry]");
        to.text("level", &self.level);
        to.name("log_format", &self.log_format, LOG_FORMATS);
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Supervisor {
    pub shutdown_deadline: Duration,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { shutdown_deadline: Duration::from_secs(5) }
    }
}

impl Supervisor {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("supervisor.shutdown_deadline", "\"5s\"", "time to drain after SIGTERM"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        let deadline = duration(Duration::from_millis(100)..=Duration::from_secs(300));
        let default = Self::default().shutdown_deadline;
        Self { shutdown_deadline: from.or("shutdown_deadline", default, &deadline) }
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.section("[supervisor]");
        to.duration("shutdown_deadline", self.shutdown_deadline);
    }
}
