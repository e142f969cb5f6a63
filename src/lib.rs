//! outstation
pub mod domain;
