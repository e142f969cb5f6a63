//! What a sink is handed next.

pub(super) mod gather;
pub(super) mod lanes;
pub(super) mod offers;
pub(super) mod owed;
pub(super) mod replays;
