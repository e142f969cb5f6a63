//! Opens the log at a path so that it can be written, in whatever state it is found.
//!
//! ```text
//!  opening ─damaged▶ salvage ─▶ rescue: the quarantine
//!                       └──────▶ reconstruct: aggregates, events, segments
//!                                  └─▶ carve ─▶ decoded rows ─▶ images, frames, pages: bytes
//! ```

// What the daemon does with the log it finds.
pub(super) mod opening;
pub(super) mod rescue;
pub(super) mod salvage;

// What a person can read of a damaged log.
pub mod damaged_log;

// Reads what SQLite can no longer open, from rows down to bytes.
pub(super) mod reconstruct;

mod carve;
mod frames;
mod images;
mod pages;
mod row_decoding;
mod row_scan;
