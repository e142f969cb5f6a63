//! The transport to a server: connections, TLS and HTTP, and the meaning of the server's answers. Batches
//! and encodings are left to `sinks/` and `encoding/`.

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
