//! What the tests of several modules stand on: a log at work, batches as a sink is offered them, and ports
//! as a configuration describes them.

pub(crate) mod batches;
pub(crate) mod log;
pub(crate) mod ports;
