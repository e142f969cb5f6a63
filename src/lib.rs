//! outstation
pub mod app;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod config;
pub mod demo;
pub mod device;
pub mod domain;
pub mod event_log;
pub mod http;
pub mod ingest;
pub mod supervisor;
pub mod telemetry;
pub mod upload;
