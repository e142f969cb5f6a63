//! The decisions, each a function or a state machine of what it is handed.

// What is urgent, and what has to give way.
pub mod alarm;
pub mod lanes;
pub mod retention;
pub mod wear;

// When to send, how much, and when not.
pub mod backoff;
pub mod batch_size;
pub mod breaker;
pub mod budget;
pub mod failover;
pub mod isolation;
pub mod outcomes;
pub mod ramp;
pub mod token_bucket;
pub mod trust;

// When to start again.
pub mod restart;
