//! The pure heart: every noun that crosses a stage and every decision.
//!
//! Nothing here awaits, logs, reads a clock or touches a file; time and randomness are arguments.
//! `tests/tidy` holds it to that.

pub mod model;
pub mod policy;
