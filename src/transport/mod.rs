//! How bytes reach a server: connections, TLS, HTTP, and what its answers mean.

pub mod http_access;
pub mod http_answer;
pub mod http_client;
pub mod http_wire;
#[cfg(feature = "link")]
pub mod link;
pub mod metered;
pub mod server_words;
mod setup;
pub mod tls;
