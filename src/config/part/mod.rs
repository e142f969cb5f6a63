//! Sections of a configuration, and groups of keys, that stand on their own: they know neither protocols
//! nor kinds of sinks.

// Sections.
pub(super) mod alarm;
pub(super) mod daemon;
pub(super) mod http;

// What every sink has.
pub(super) mod pace;
pub(crate) mod url;

// What several sinks have.
pub(crate) mod credential;
pub(crate) mod http_access;
pub(crate) mod tls_files;

// A value.
pub(super) mod network;
