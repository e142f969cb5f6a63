//! Read-only access to the log, page by page, from beside the daemon.
//!
//! SQLite cannot restart its journal while a reader is active, so a long read makes the daemon's journal
//! grow. Each call here is one short transaction that has ended when it returns: callers print, wait and
//! compute with nothing open. Between two pages the daemon may remove or merge segments; a caller that asks
//! for the segment that *holds* the next number misses none.

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

/// The most rows of one page: about a millisecond's work, so that no transaction is long.
const PAGE_ROWS: usize = 256;
/// The most bytes of bodies of one page.
const PAGE_BYTES: usize = 1 << 20;
/// The largest file whose structure is checked. The check is one transaction, which takes seconds at this
/// size, and the daemon's journal grows by its commits meanwhile.
const STRUCTURE_BYTES_MAX: u64 = 1 << 30;
const STRUCTURE_FAULTS_MAX: u32 = 16;

const ALL_EVENTS: &str = "SELECT stream, version, boot, at_ms, position, data, crc FROM events \
     WHERE stream = ?1 ORDER BY version";

/// A log that is open for reading.
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

/// What the numbers and times in a segment refer to.
#[derive(Clone, Copy, Debug)]
pub struct Meaning<'a> {
    pub registry: &'a Registry,
    pub boots: &'a Boots,
}

/// A file of the log on disk.
#[derive(Clone, Debug)]
pub struct LogFile {
    pub what: &'static str,
    pub path: PathBuf,
    pub bytes: u64,
}

/// An event in the log; `event` is `None` if it is damaged.
#[derive(Debug)]
pub struct StoredEvent {
    pub stream: Stream,
    pub version: u64,
    /// The position; 0 if the event is not published.
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
    /// Opens the log at this path. Nothing is written to it, and no daemon need run.
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

    /// Opens the file alone, without the journal. SQLite must write to the index of the journal even to
    /// read. A user who cannot do that can read a log that no daemon holds and whose journal is empty.
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
        // Only the daemon moves the journal into the file.
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

    /// A number that changes with every commit of another connection.
    pub fn data_version(&self) -> Result<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(sql("ask whether the log has changed"))
    }

    /// Says whether there is another file at the path now, because a damaged log was replaced.
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

    /// A page of segments that begin at or after `from`, without their bodies; empty at the end.
    pub fn heads(&self, from: u64) -> Result<Vec<Head>> {
        queries::heads(&self.connection, from, PAGE_ROWS)
    }

    /// A page of segments that begin before `seq`, the last first.
    pub fn heads_before(&self, seq: u64) -> Result<Vec<Head>> {
        queries::heads_before(&self.connection, seq, PAGE_ROWS)
    }

    /// A page of segments, from the one that holds `from` or the next; at least two if there are two.
    pub fn segments(&self, from: u64) -> Result<Vec<StoredSegment>> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let read = queries::segments_from(&self.connection, from, |segment: StoredSegment| {
            bytes += segment.body.len();
            page.push(segment);
            page.len() < 2 || (page.len() < PAGE_ROWS && bytes < PAGE_BYTES)
        });
        match read {
            // What precedes the damage can still be used.
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

    /// The number at which to go on after a segment. The length of a damaged one cannot be trusted, so it
    /// ends where the next begins.
    pub fn after(&self, segment: &StoredSegment) -> Result<u64> {
        if segment.is_sound() {
            return Ok(segment.last_seq() + 1);
        }
        let next = queries::first_after(&self.connection, segment.first_seq)?;
        Ok(next.unwrap_or(u64::MAX))
    }

    /// A page of the published events after a position, in order.
    pub fn published(&self, after: u64) -> Result<Vec<StoredEvent>> {
        let key = params![signed(after), signed(PAGE_ROWS as u64)];
        let rows = queries::event_rows(&self.connection, queries::PUBLISHED, key)?;
        Ok(rows.into_iter().map(StoredEvent::from).collect())
    }

    pub fn streams(&self) -> Result<Vec<Stream>> {
        Ok(queries::versions(&self.connection)?.into_keys().collect())
    }

    /// The snapshot and all events of a stream; there are some thousands at most.
    pub fn stream(&self, stream: &Stream) -> Result<StoredStream> {
        let _one_commit =
            self.connection.unchecked_transaction().map_err(sql("begin to read the log"))?;
        let snapshot = queries::snapshot(&self.connection, stream)?.map(|row| row.version);
        let rows = queries::event_rows(&self.connection, ALL_EVENTS, [stream.as_str()])?;
        Ok(StoredStream { snapshot, events: rows.into_iter().map(StoredEvent::from).collect() })
    }

    /// A page of copies of readings that a sink refused, each with whether it is sound, from the one that
    /// holds `from` or the next.
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

    /// The faults that SQLite finds in the structure of the file; `None` if the file is so large that the
    /// check would take too long beside a daemon.
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

    /// The files of the log that exist.
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

    /// Says whether this path is one of the log's own files.
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

    /// The sinks that the log knows.
    pub fn sinks(&self) -> Vec<String> {
        self.aggregates.deliveries.keys().cloned().collect()
    }

    pub fn delivery(&self, sink: &str) -> Delivery {
        self.aggregates.delivery(sink)
    }

    pub fn delivered_to_all(&self, sinks: &[String]) -> IntervalSet {
        self.aggregates.delivered_to_all(sinks)
    }

    /// The whole account; `sinks` are those that each reading has to reach.
    pub fn ledger(&self, sinks: &[String]) -> Ledger {
        self.books().ledger(self.next_seq - 1, 0, &self.aggregates.sink_states(sinks))
    }

    /// The position of the last published event.
    pub fn position(&self) -> u64 {
        self.aggregates.position()
    }

    /// What a sink has and lacks, without lanes.
    pub fn progress(&self, sink: &str) -> Progress {
        let pending_events = self.position().saturating_sub(self.delivery(sink).events);
        Progress { pending_events, ..self.aggregates.progress(sink, self.next_seq - 1) }
    }

    pub fn quarantine(&self, sink: &str) -> &Quarantine {
        self.aggregates.quarantine(sink)
    }

    /// The sinks that have refused readings.
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

/// The bytes that a segment takes in the file.
pub fn bytes_in_file(head: &Head) -> u64 {
    head.bytes + ROW_BYTES
}

/// The bytes for readings and events in a log of `bytes_max` bytes.
pub fn room(bytes_max: u64) -> u64 {
    bounds(bytes_max).room()
}

fn is_closed(error: &StorageError) -> bool {
    let (StorageError::Open { source, .. } | StorageError::Format { source, .. }) = error else {
        return false;
    };
    matches!(source.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// A path, escaped for a URI.
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
