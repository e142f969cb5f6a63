//! Measures the whole pipeline from outside: the real daemon and the real collector as processes
//! of their own, this one playing the sensor. And the log alone, in [`storage`].
//!
//! ```text
//!  W1 lines ─pty▶ `outstation run` ─http▶ `outstation collect`, which keeps nothing on disk
//!                     └ measured: /proc/<pid>, /status, notify socket, the block device
//! ```

mod error;
mod pipeline;
pub mod storage;

pub mod child;
pub mod machine;
pub mod w1;

pub use error::BenchError;
pub use pipeline::{Figures, Projected, flat_out, idle, w1};
