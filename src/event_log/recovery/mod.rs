//! From a path to a log that can be written, whatever is found there.
//!
//! ```text
//!  opening ─damaged▶ salvage ─▶ rescue: the quarantine
//!                       └──────▶ reconstruct: aggregates, events, segments
//!                                  └─▶ carve ─▶ decoded rows ─▶ images, frames, pages: bytes
//! ```

// What the daemon does with what it finds.
pub(super) mod opening;
pub(super) mod rescue;
pub(super) mod salvage;

// What a person asks of a damaged log.
pub mod damaged_log;

// Reading what SQLite cannot open any more, from rows down to bytes.
pub(super) mod reconstruct;

mod carve;
mod frames;
mod images;
mod pages;
mod row_decoding;
mod row_scan;
