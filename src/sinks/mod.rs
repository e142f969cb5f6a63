//! The table of all kinds of sinks, with one row each.
//!
//! ```text
//!  config ─read▶ settings of the kind ─connector▶ sink at one endpoint ─▶ the layers of upload/stack
//! ```
//!
//! A kind implements the trait of `upload` for delivery and uses `transport` and `encoding`. It does not
//! know any other kind. CONTRIBUTING.md has the recipe for adding one.

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

/// A kind of sink and its name in the configuration, which is also the name of its cargo feature.
pub(crate) struct SinkRow {
    pub(crate) name: &'static str,
    /// `None` if this build was made without the kind.
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

/// All kinds, in the order in which they are offered to a user.
pub(crate) const KINDS: &[SinkRow] = &[
    SinkRow { name: "http", kind: Some(&http::KIND) },
    optional!("mqtt", mqtt::KIND),
    optional!("prometheus", prometheus::KIND),
    optional!("nats", nats::KIND),
];

/// The kind that applies before the section of a sink has been read.
impl Default for SinkChoice {
    fn default() -> Self {
        Self { name: "http", settings: http::settings() }
    }
}
