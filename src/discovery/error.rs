//! The reasons why outstations cannot be found, or their list cannot be read or written.

use std::path::PathBuf;

use super::mdns::MdnsError;

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error(transparent)]
    Mdns(#[from] MdnsError),
    #[error("this machine has no network to ask on; `ip address` shows its interfaces")]
    NoNetwork,
    #[error("failed to {operation} `{}`", .path.display())]
    File { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "`{}` is no list of Prometheus targets in JSON; remove it, or name another file",
        .path.display()
    )]
    NotTargets { path: PathBuf, source: serde_json::Error },
}
