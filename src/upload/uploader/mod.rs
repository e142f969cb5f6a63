//! The actor that pulls batches from the log and hands them to the stack.

pub mod actor;
mod delivery;
mod meter;
pub(crate) mod recall;
