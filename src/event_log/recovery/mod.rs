//! From a path to a log that can be written, whatever is found there.
//!
//! ```text
//!  opening ─damaged▶ salvage ─▶ rescue: the quarantine
//!                       └──────▶ reconstruct: aggregates, events, segments
//!                                  └─▶ carve ─▶ carved rows ─▶ images, frames, pages: bytes
//! ```

// What the daemon does with what it finds.
pub(super) mod opening;
pub(super) mod rescue;
pub(super) mod salvage;

// What a person asks of a damaged log.
pub mod remains;

// Reading what SQLite cannot open any more, from rows down to bytes.
pub(super) mod reconstruct;

mod carve;
mod carved;
mod frames;
mod images;
mod pages;
mod sight;
