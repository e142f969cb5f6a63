//! What the configuration names in files: secrets, certificates and keys, of sinks and of the local
//! port alike. An error says which file, and never what it holds.

pub(crate) mod file;
pub(crate) mod tls;

pub use file::SetupError;
