//! The decisions. Each is a function or a state machine of its arguments alone.

// What is urgent, and what gives way when room or flash is short.
pub mod alarm;
pub mod lanes;
pub mod retention;
pub mod wear;

// When to send, how much, and when not to send.
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

// When to start an actor again.
pub mod restart;
