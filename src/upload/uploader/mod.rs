//! The actor that pulls batches from the log and hands them to the stack. `actor` is its loop, `delivery`
//! handles the answers of the sink, `meter` counts the budget, and `recall` restores the state of an
//! earlier process.

pub mod actor;
mod delivery;
mod meter;
pub(crate) mod recall;
