//! Secrets, certificates and keys in files that the configuration names, for sinks and for the local port.
//! An error names the file, and never its content. Their use is left to `transport/` and `http/`.

pub(crate) mod file;
pub(crate) mod tls;

pub use file::SetupError;
