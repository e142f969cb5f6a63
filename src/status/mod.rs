//! What the stages report, put together for people and for Prometheus.

pub mod board;
mod file_system;
pub mod health;
pub mod metrics;
mod process;
pub mod status_line;
