//! What the tests of several modules stand on: a log at work, batches as a sink is offered them, and
//! configurations.

pub(crate) mod batches;
pub(crate) mod config;
pub(crate) mod log;
