//! The log as others see it beside the daemon: read only, in pages.
//!
//! SQLite cannot begin its journal anew while anybody reads from it, so whoever reads long makes the
//! daemon's journal grow. Each question here is one short transaction that has ended when its answer
//! is handed over: readers print, wait and think with nothing open. Between two pages the daemon may
//! have removed segments, or merged some; whoever walks asks for the segment that *holds* the next
//! number, and so misses none.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use outstation_codec::StoredSegment;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::state::aggregates::Aggregates;
use super::status::Progress;
use super::store::error::{Result, StorageError, signed, sql};
use super::store::files::{self, Files};
pub use super::store::queries::{Head, Pages};
use super::store::rows::{EventRow, QuarantineRow};
use super::store::space::{ROW_BYTES, bounds};
use super::store::{copies, queries, schema};
use crate::domain::model::boots::Boots;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::interval_set::{Delivery, IntervalSet};
use crate::domain::model::ledger::{Books, Ledger};
use crate::domain::model::quarantine::Quarantine;
use crate::domain::model::sensors::Registry;

/// Rows of one page: a millisecond's work, so that no transaction is long.
const PAGE_ROWS: usize = 256;
/// And so many bytes of bodies.
const PAGE_BYTES: usize = 1 << 20;
/// The structure is checked in one transaction. Up to this size that takes seconds, and the daemon's
/// journal grows by what it commits in them.
const STRUCTURE_BYTES_MAX: u64 = 1 << 30;
const STRUCTURE_FAULTS_MAX: u32 = 16;

const ALL_EVENTS: &str = "SELECT stream, version, boot, at_ms, position, data, crc FROM events \
     WHERE stream = ?1 ORDER BY version";

/// A log open for reading.
#[derive(Debug)]
pub struct LogView {
    connection: Connection,
    files: Files,
    epoch: u64,
    format: u32,
    identity: Vec<u8>,
}

/// Everything the log knows besides its readings, as of one commit.
#[derive(Debug)]
pub struct CommittedState {
    pub(super) aggregates: Aggregates,
    /// The number that the next reading will have.
    pub next_seq: u64,
    pub pages: Pages,
}

/// What the numbers and times of a segment mean.
#[derive(Clone, Copy, Debug)]
pub struct Meaning<'a> {
    pub registry: &'a Registry,
    pub boots: &'a Boots,
}

/// A file of the log, as it is on disk.
#[derive(Clone, Debug)]
pub struct LogFile {
    pub what: &'static str,
    pub path: PathBuf,
    pub bytes: u64,
}

/// An event as it stands in the log; `None` where it is damaged.
#[derive(Debug)]
pub struct StoredEvent {
    pub stream: Stream,
    pub version: u64,
    pub position: u64,
    pub boot: u32,
    pub at_ms: i64,
    pub event: Option<Event>,
}

/// A stream as of one commit.
#[derive(Debug)]
pub struct StoredStream {
    /// The version of its snapshot.
    pub snapshot: Option<u64>,
    pub events: Vec<StoredEvent>,
}

impl LogView {
    /// Opens the log at this path. Nothing is written to it, and no daemon is needed.
    pub fn open(path: &Path) -> Result<Self> {
        let files = Files::of(path);
        let failed = |source| files.failed("read the log", source);
        match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StorageError::Absent { path: path.to_owned() });
            }
            found => drop(found.map_err(failed)?),
        }
        schema::refuse_newer(path)?;
        match Self::connect(&files, "") {
            Err(error) if is_closed(&error) => Self::at_rest(&files),
            other => other,
        }
    }

    /// SQLite needs to write its index of the journal even to read. Where this user cannot, a log
    /// nobody writes to and that has nothing in its journal is its file alone.
    fn at_rest(files: &Files) -> Result<Self> {
        if files.is_held() || files::len(&files.journal()) > 0 {
            return Err(StorageError::Closed { path: files.log().to_owned() });
        }
        Self::connect(files, "?immutable=1")
    }

    fn connect(files: &Files, options: &str) -> Result<Self> {
        let path = files.log();
        let open = |source| StorageError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection =
            Connection::open_with_flags(format!("file:{}{options}", escaped(path)), flags)
                .map_err(open)?;
        // To move the journal into the file is the daemon's business.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(open)?;
        connection.pragma_update(None, "cache_size", -512).map_err(open)?;
        connection.pragma_update(None, "temp_store", "memory").map_err(open)?;
        schema::admit(&connection, path)?;
        let meta = queries::meta(&connection)?;
        let identity = files.identity()?;
        let files = files.clone();
        Ok(Self { connection, files, epoch: meta.epoch, format: meta.format, identity })
    }

    pub fn path(&self) -> &Path {
        self.files.log()
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn format(&self) -> u32 {
        self.format
    }

    /// Changes with every commit of anybody else.
    pub fn data_version(&self) -> Result<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(sql("ask whether the log has changed"))
    }

    /// Whether the file at the path is another one by now: a damaged log was replaced.
    pub fn is_replaced(&self) -> bool {
        self.files.identity().is_ok_and(|identity| identity != self.identity)
    }

    pub fn state(&self) -> Result<CommittedState> {
        let connection = &self.connection;
        let _one_commit =
            connection.unchecked_transaction().map_err(sql("begin to read the log"))?;
        let aggregates = Aggregates::rebuilt(
            queries::versions(connection)?,
            queries::last_position(connection)?,
            |stream| queries::history(connection, stream),
        )?;
        let next_seq = queries::next_seq(connection)?.max(aggregates.last_accounted() + 1);
        Ok(CommittedState { aggregates, next_seq, pages: queries::pages(connection)? })
    }

    /// The sequence number of the first reading that is in the log.
    pub fn oldest_seq(&self) -> Result<u64> {
        queries::oldest_seq(&self.connection)
    }

    /// Some segments that begin at or after `from`, without their bodies; none at the end.
    pub fn heads(&self, from: u64) -> Result<Vec<Head>> {
        queries::heads(&self.connection, from, PAGE_ROWS)
    }

    /// Some segments that begin before `seq`, the last first.
    pub fn heads_before(&self, seq: u64) -> Result<Vec<Head>> {
        queries::heads_before(&self.connection, seq, PAGE_ROWS)
    }

    /// Some segments, from the one that holds `from` or the next; at least two if there are two.
    pub fn segments(&self, from: u64) -> Result<Vec<StoredSegment>> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let read = queries::segments_from(&self.connection, from, |segment: StoredSegment| {
            bytes += segment.body.len();
            page.push(segment);
            page.len() < 2 || (page.len() < PAGE_ROWS && bytes < PAGE_BYTES)
        });
        match read {
            // What stands before the damage is as good as ever.
            Err(_) if page.len() > 1 => Ok(page),
            read => read.map(|()| page),
        }
    }

    /// The segment that holds `seq`, or the next.
    pub fn segment(&self, seq: u64) -> Result<Option<StoredSegment>> {
        let mut found = None;
        queries::segments_from(&self.connection, seq, |segment| {
            found = Some(segment);
            false
        })?;
        Ok(found)
    }

    /// Where to go on after a segment. A damaged one may lie about its length: it ends where the next
    /// begins.
    pub fn after(&self, segment: &StoredSegment) -> Result<u64> {
        if segment.is_sound() {
            return Ok(segment.last_seq() + 1);
        }
        let next = queries::first_after(&self.connection, segment.first_seq)?;
        Ok(next.unwrap_or(u64::MAX))
    }

    /// Some of the published events, after a position, in order.
    pub fn published(&self, after: u64) -> Result<Vec<StoredEvent>> {
        let key = params![signed(after), signed(PAGE_ROWS as u64)];
        let rows = queries::event_rows(&self.connection, queries::PUBLISHED, key)?;
        Ok(rows.into_iter().map(StoredEvent::from).collect())
    }

    pub fn streams(&self) -> Result<Vec<Stream>> {
        Ok(queries::versions(&self.connection)?.into_keys().collect())
    }

    /// The snapshot and all events of a stream: some thousands at most.
    pub fn stream(&self, stream: &Stream) -> Result<StoredStream> {
        let _one_commit =
            self.connection.unchecked_transaction().map_err(sql("begin to read the log"))?;
        let snapshot = queries::snapshot(&self.connection, stream)?.map(|row| row.version);
        let rows = queries::event_rows(&self.connection, ALL_EVENTS, [stream.as_str()])?;
        Ok(StoredStream { snapshot, events: rows.into_iter().map(StoredEvent::from).collect() })
    }

    /// Some copies of readings that a sink refused, each with whether it is what was written, from the
    /// one that holds `from`, or the next.
    pub fn quarantined(&self, sink: &str, from: u64) -> Result<Vec<(QuarantineRow, bool)>> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        copies::each(&self.connection, sink, from, |copy, sound| {
            bytes += copy.segment.body.len() + copy.reason.len();
            page.push((copy, sound));
            page.len() < PAGE_ROWS && bytes < PAGE_BYTES
        })?;
        Ok(page)
    }

    /// How many events of each stream are in the log.
    pub fn events_kept(&self) -> Result<BTreeMap<Stream, u64>> {
        queries::kept(&self.connection)
    }

    /// What SQLite finds wrong with the structure of the file; `None` if that would take too long
    /// beside a daemon.
    pub fn structure_faults(&self) -> Result<Option<Vec<String>>> {
        if queries::pages(&self.connection)?.file_bytes() > STRUCTURE_BYTES_MAX {
            return Ok(None);
        }
        let mut found: Vec<String> = Vec::new();
        self.connection
            .pragma(None, "quick_check", STRUCTURE_FAULTS_MAX, |row| {
                found.push(row.get(0)?);
                Ok(())
            })
            .map_err(sql("check the structure of the log"))?;
        found.retain(|line| line != "ok");
        Ok(Some(found))
    }

    /// Every file that is there.
    pub fn files(&self) -> Vec<LogFile> {
        let (files, aside) = (&self.files, self.files.aside());
        let all = [
            ("log", files.log().to_owned()),
            ("journal", files.journal()),
            ("index of the journal", files.journal_index()),
            ("room for emergencies", files.ballast()),
            ("unfinished salvage", files.unfinished()),
            ("damaged log, set aside", aside.log().to_owned()),
            ("its journal", aside.journal()),
        ];
        let there = all.into_iter().filter(|(_, path)| path.exists());
        there.map(|(what, path)| LogFile { what, bytes: files::len(&path), path }).collect()
    }

    /// Whether this path is one of the log's own files.
    pub fn owns(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(other) = std::fs::metadata(path) else { return false };
        let own = self.files().into_iter().filter_map(|file| std::fs::metadata(file.path).ok());
        own.into_iter().any(|own| (own.dev(), own.ino()) == (other.dev(), other.ino()))
    }
}

impl CommittedState {
    pub fn meaning(&self) -> Meaning<'_> {
        Meaning { registry: &self.aggregates.registry, boots: &self.aggregates.boots }
    }

    pub fn books(&self) -> &Books {
        &self.aggregates.books
    }

    /// The sinks that the log knows of.
    pub fn sinks(&self) -> Vec<String> {
        self.aggregates.deliveries.keys().cloned().collect()
    }

    pub fn delivery(&self, sink: &str) -> Delivery {
        self.aggregates.delivery(sink)
    }

    pub fn delivered_to_all(&self, sinks: &[String]) -> IntervalSet {
        self.aggregates.delivered_to_all(sinks)
    }

    /// The account, given the sinks that each reading has to reach.
    pub fn ledger(&self, sinks: &[String]) -> Ledger {
        self.books().ledger(self.next_seq - 1, 0, &self.aggregates.sink_states(sinks))
    }

    /// The position of the last event that is delivered.
    pub fn position(&self) -> u64 {
        self.aggregates.position()
    }

    /// What a sink has and lacks; no word of lanes.
    pub fn progress(&self, sink: &str) -> Progress {
        let pending_events = self.position().saturating_sub(self.delivery(sink).events);
        Progress { pending_events, ..self.aggregates.progress(sink, self.next_seq - 1) }
    }

    pub fn quarantine(&self, sink: &str) -> &Quarantine {
        self.aggregates.quarantine(sink)
    }

    /// Those that have refused something.
    pub fn refusing_sinks(&self) -> Vec<String> {
        self.aggregates.quarantines.keys().cloned().collect()
    }
}

impl From<(EventRow, bool)> for StoredEvent {
    fn from((row, sound): (EventRow, bool)) -> Self {
        Self {
            version: row.version,
            position: row.position.unwrap_or(0),
            boot: row.boot,
            at_ms: row.at_ms,
            event: postcard::from_bytes(&row.data).ok().filter(|_| sound),
            stream: row.stream,
        }
    }
}

/// Bytes that a segment takes in the file.
pub fn bytes_in_file(head: &Head) -> u64 {
    head.bytes + ROW_BYTES
}

/// Of the most bytes a log may take, those for readings and events.
pub fn room(bytes_max: u64) -> u64 {
    bounds(bytes_max).room()
}

fn is_closed(error: &StorageError) -> bool {
    let (StorageError::Open { source, .. } | StorageError::Format { source, .. }) = error else {
        return false;
    };
    matches!(source.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// A path as a URI has it.
fn escaped(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let escape = |byte: &u8| {
        if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
    };
    path.as_os_str().as_bytes().iter().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::store::commit::Commit;
    use crate::event_log::store::database;

    #[test]
    fn a_path_with_anything_in_it_is_still_that_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a ?&#%41 é.db");
        let mut database = database::Database::open(&path, 7).expect("makes a log");
        database.commit(&Commit::default()).expect("commits");
        assert_eq!(LogView::open(&path).expect("opens").epoch(), 7);
    }

    #[test]
    fn a_log_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.db");
        let error = LogView::open(&path).expect_err("nothing there");
        assert!(matches!(error, StorageError::Absent { .. }), "{error:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn only_a_log_of_this_format_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.db");
        let pragma = |name: &str, value: i64| {
            let connection = Connection::open(&path).expect("opens");
            connection.pragma_update(None, name, value).expect("set");
        };
        drop(database::Database::open(&path, 7).expect("makes a log"));
        pragma("user_version", 0);
        assert!(matches!(LogView::open(&path), Err(StorageError::Older { found: 0, .. })));
        pragma("user_version", 99);
        assert!(matches!(LogView::open(&path), Err(StorageError::Newer { found: 99, .. })));
        pragma("user_version", schema::FORMAT.into());
        pragma("application_id", 1);
        assert!(matches!(LogView::open(&path), Err(StorageError::Foreign { .. })));
    }
}
