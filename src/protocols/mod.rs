//! How bytes become readings: every protocol there is, a folder and a row each.
//!
//! ```text
//!  config ─read▶ settings of the protocol ─decoder▶ bytes of a port in, readings and faults out
//! ```
//!
//! A protocol never opens a port, never waits, never logs, and knows no other protocol. CONTRIBUTING.md
//! has the recipe for adding one.

mod decoder;
mod interface;
pub(crate) mod kind;
mod outbox;
mod partial;

mod lines;
mod postcard;

pub use decoder::Decoder;
pub use kind::Framing;
pub use outbox::Outbox;
pub use partial::Partial;

use kind::ProtocolKind;

/// In the order in which they are offered to a person.
pub(crate) const PROTOCOLS: &[&ProtocolKind] = &[&postcard::KIND, &lines::KIND];

/// The protocol of a port before its section is read.
impl Default for Framing {
    fn default() -> Self {
        postcard::framing()
    }
}
