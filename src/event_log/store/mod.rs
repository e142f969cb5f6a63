//! The file: SQL, rows, checksums, the journal, and the room on the file system.
//!
//! ```text
//!  Storage ─▶ Database ─▶ queries, copies ─▶ rows ─▶ SQLite
//!     ├─▶ StorageHealth: one state, named transitions
//!     └─▶ Ballast, Files: the room, and what stands beside the log
//! ```

// The open log.
pub(super) mod storage;

pub(super) mod health;

// The database and what is written to it.
pub(super) mod commit;
pub mod database;

pub(super) mod copies;
pub(super) mod queries;
pub(super) mod rows;
pub(super) mod schema;

// The files that make up a log.
pub mod error;
pub(super) mod files;
pub(super) mod journal;
pub(super) mod meter;
pub(super) mod space;
