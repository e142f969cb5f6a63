//! The table of all protocols, with one row each. A protocol decodes bytes to readings.
//!
//! ```text
//!  config ─read▶ settings of the protocol ─decoder▶ bytes of a port in, readings and faults out
//! ```
//!
//! A protocol never opens a port, never waits, never logs, and does not know any other protocol.
//! CONTRIBUTING.md has the recipe for adding one.

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

/// All protocols, in the order in which they are offered to a user.
pub(crate) const PROTOCOLS: &[&ProtocolKind] = &[&postcard::KIND, &lines::KIND];

/// The protocol that applies before the section of a port has been read.
impl Default for Framing {
    fn default() -> Self {
        postcard::framing()
    }
}
