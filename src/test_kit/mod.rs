//! What the tests of several modules stand on: a log at work, and batches as a sink is offered them.

pub(crate) mod batches;
pub(crate) mod log;
