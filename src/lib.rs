//! outstation
pub mod clock;
pub mod config;
pub mod domain;
pub mod event_log;
pub mod ingest;
pub mod supervisor;
pub mod telemetry;
pub mod upload;
