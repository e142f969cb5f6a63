//! Decides what a sink is handed next.
//!
//! ```text
//!  Offers ──View: lanes as parts of the log──▶ gather: segments for one batch
//!     └──────── quarantine::replays: copies that are offered again
//! ```

pub(super) mod gather;
pub(super) mod offers;
pub(super) mod view;
