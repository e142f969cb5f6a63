//! The file: SQL, rows, checksums, the journal and the room on the file system.

pub(super) mod copies;
pub mod database;
pub mod error;
pub(super) mod files;
pub(super) mod journal;
pub(super) mod meter;
pub(super) mod queries;
pub(super) mod rows;
pub(super) mod schema;
