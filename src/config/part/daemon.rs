//! The sections about the daemon itself: `[device]`, `[log]`, `[telemetry]`, `[supervisor]`.
//! Every key has a default; a file without these sections is complete.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::field::{default, optional};
use crate::config::reader::syntax::{
    Names, Syntax, boolean, bytes, choice, duration, integer, name, path,
};
use crate::config::reader::table::settings;
use crate::telemetry::{LogFilter, LogFormat};

const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// The board.
    pub struct Device {
        /// Name of this board in every reading. Boards cloned from one image may share their machine id, so
        /// name them. A new name is a new device to the receiver.
        pub id: Option<String> = optional("it is derived from the machine id", name(64))
            .example("\"pump-7\"")
            .needs_restart();
    }
}

settings! {
    /// The event log, which keeps every reading until all sinks have it.
    pub struct EventLog {
        /// File of the event log, on storage that survives a power cut. Under the unit that ships it stays in
        /// `/var/lib/outstation`: nothing else can be written. A larger medium is mounted at
        /// `/var/lib/private/outstation`, to which that links; systemd hands it to the daemon at start.
        pub path: PathBuf = default(PathBuf::from("/var/lib/outstation/log.db"), path()).needs_restart();

        /// Longest time before readings are committed to flash. A power cut costs at most this and the tenth
        /// of a second in which a port gathers; a longer interval wears the flash less.
        // Below 10 ms the flash wears for nothing; past an hour a power cut costs too much.
        pub commit_interval: Duration =
            default(Duration::from_secs(1), duration(Duration::from_millis(10)..=HOUR));

        /// The same for readings in the lane `alarm`; `"0s"` commits each at once.
        pub alarm_commit_interval: Duration = default(Duration::ZERO, duration(Duration::ZERO..=HOUR));

        /// The same for readings in the lane `backfill`, which may wait.
        pub backfill_commit_interval: Option<Duration> =
            optional("commit_interval holds", duration(Duration::from_millis(10)..=HOUR)).example("\"1m\"");

        /// Commit earlier once this many readings wait. It bounds memory at high rates.
        // At most half of what a segment can hold.
        pub commit_readings: usize = default(16_384, integer(1..=32_768));

        /// Most bytes the log takes on disk, with its journal and a damaged log set aside. When it is full,
        /// delivered readings go first, then the oldest; what goes undelivered is counted as lost.
        // Below 8 MiB the journal and what is kept free for emergencies would be most of it.
        pub max_bytes: u64 = default(256 << 20, bytes(8 << 20..=1 << 40));

        /// Keep delivered readings for `outstation log` while there is room.
        pub retain_delivered: bool = default(false, boolean());
    }
}

const LOG_FORMATS: Names<LogFormat> = &[
    ("auto", LogFormat::Auto),
    ("journald", LogFormat::Journald),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

settings! {
    /// The messages of the daemon.
    pub struct Telemetry {
        /// Least severe level that is logged. Exceptions by target follow after commas.
        pub level: LogFilter = default(
            LogFilter::default(),
            Syntax::text(LogFilter::ALLOWED, |text| text.parse().ok(), LogFilter::to_string),
        );

        /// Where and how messages are written: `"auto"` (to journald under systemd, otherwise as text),
        /// `"journald"`, `"text"` or `"json"` (both to stderr).
        pub log_format: LogFormat = default(LogFormat::Auto, choice(LOG_FORMATS)).needs_restart();
    }
}

settings! {
    /// How the parts of the daemon are ended.
    pub struct Supervisor {
        /// Time to drain after SIGTERM before the parts that are late are named and left. Keep it below
        /// `TimeoutStopSec` of the systemd unit.
        pub shutdown_deadline: Duration = default(
            Duration::from_secs(5),
            duration(Duration::from_millis(100)..=Duration::from_secs(300)),
        );
    }
}
