//! The pure heart: every noun that crosses a stage and every decision.
//!
//! Nothing here awaits, logs, reads a clock or touches a file; time and randomness are arguments.
//! `tests/tidy` holds it to that.

// The nouns, and how they are written.
pub mod batch;
pub mod body;
pub mod boots;
pub mod coder;
pub mod column;
pub mod cut;
pub mod decimal;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_line;
pub mod forecast;
pub mod generation;
pub mod integers;
pub mod ledger;
pub mod quarantine;
pub mod reading;
pub mod registry;
pub mod segment;
pub mod standing;
pub mod template;
pub mod token;
pub mod version_1;

// The decisions.
pub mod alarm;
pub mod backoff;
pub mod batch_size;
pub mod breaker;
pub mod budget;
pub mod failover;
pub mod health;
pub mod isolation;
pub mod lanes;
pub mod outcomes;
pub mod ramp;
pub mod restart;
pub mod retention;
pub mod token_bucket;
pub mod trust;
pub mod wear;
