//! Measures the whole pipeline from outside: the real daemon and the real collector run as processes of
//! their own, and this process plays the sensor. [`storage`] measures the log alone.
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
