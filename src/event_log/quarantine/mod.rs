//! What becomes of the readings that a sink refuses.

pub(super) mod kept;
pub(super) mod news;
pub mod orders;
