//! What becomes of the readings that a sink refuses.
//!
//! ```text
//!  refused ▶ Copies ─staged─▶ the next commit     news: said in sums
//!               ▲
//!  a person ▶ Orders, part by part                replays: offered again from the copies
//! ```

pub mod declined;
pub(super) mod kept;
pub(super) mod news;
pub(super) mod orders;
pub(super) mod replays;
