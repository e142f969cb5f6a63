//! Every kind of sink there is, a row each.
//!
//! ```text
//!  config ─read▶ settings of the kind ─connector▶ what delivers to an endpoint ─▶ the layers of upload/stack
//! ```
//!
//! A kind knows `upload`'s trait for what delivers, `transport` and `encoding`, and no other kind.
//! CONTRIBUTING.md has the recipe for adding one.

pub mod connect;
mod http;
pub(crate) mod kind;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "prometheus")]
mod prometheus;

pub use kind::Connector;

use kind::{SinkChoice, SinkKind};

/// A kind of sink by its name in the configuration, which is that of its cargo feature as well.
pub(crate) struct SinkRow {
    pub(crate) name: &'static str,
    /// None: this build was made without it.
    pub(crate) kind: Option<&'static SinkKind>,
}

macro_rules! optional {
    ($name:literal, $kind:path) => {{
        #[cfg(feature = $name)]
        let kind = Some(&$kind);
        #[cfg(not(feature = $name))]
        let kind = None;
        SinkRow { name: $name, kind }
    }};
}

/// In the order in which they are offered to a person.
pub(crate) const KINDS: &[SinkRow] = &[
    SinkRow { name: "http", kind: Some(&http::KIND) },
    optional!("mqtt", mqtt::KIND),
    optional!("prometheus", prometheus::KIND),
    optional!("nats", nats::KIND),
];

/// The kind of a sink before its section is read.
impl Default for SinkChoice {
    fn default() -> Self {
        Self { name: "http", settings: http::settings() }
    }
}
