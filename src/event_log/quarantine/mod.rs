//! Keeps the readings that a sink refuses for good.
//!
//! ```text
//!  refused ▶ Copies ─staged─▶ the next commit     report: summed up
//!               ▲
//!  a person ▶ Orders, part by part                replays: offered again from the copies
//! ```

pub mod declined;
pub(super) mod kept;
pub(super) mod orders;
pub(super) mod replays;
pub(super) mod report;
