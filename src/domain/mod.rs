//! The pure core: the nouns that every stage shares, and every decision.
//!
//! Nothing here awaits, logs, reads a clock or touches a file; time and randomness are arguments.
//! `tests/tidy` checks this.

pub mod model;
pub mod policy;
